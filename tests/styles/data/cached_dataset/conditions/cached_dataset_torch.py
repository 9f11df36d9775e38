"""One condition variable, a plain dict whose order is the order of use, and a hook that runs in a forked child."""

import os
import threading
import weakref

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

ALIVE = weakref.WeakSet()


def reset_all():
    for dataset in list(ALIVE):
        dataset.reset()


os.register_at_fork(after_in_child=reset_all)


class CachedDataset(Dataset):
    def __init__(self, source, max_bytes, transform=None):
        if not max_bytes >= 0:
            raise ValueError("max_bytes")
        self.arguments = source, max_bytes, transform
        self.reset()
        ALIVE.add(self)

    def reset(self):
        self.changed = threading.Condition()
        self.kept, self.loading = {}, set()
        self.hits, self.misses, self.evictions = 0, 0, 0

    @property
    def bytes_held(self):
        return sum(len(data) * size for data, size in map(_extent, self.kept.copy().values()))

    def __getstate__(self):
        return {"arguments": self.arguments}

    def __setstate__(self, state):
        self.__init__(*state["arguments"])

    def __len__(self):
        return len(self.arguments[0])

    def __getitem__(self, index):
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        transform = self.arguments[2] or (lambda item: item)
        return transform(self.fetch(index).detach().clone())

    def fetch(self, index):
        with self.changed:
            self.changed.wait_for(lambda: index not in self.loading)
            if index in self.kept:
                self.hits += 1
                self.kept[index] = self.kept.pop(index)
                return self.kept[index]
            self.misses += 1
            self.loading.add(index)
        item = None
        try:
            item = self.arguments[0][index]
            return item
        finally:
            with self.changed:
                if item is not None:
                    self.keep(index, torch.clone(item))
                self.loading.discard(index)
                self.changed.notify_all()

    def keep(self, index, item):
        budget = self.arguments[1]
        size = item.numel() * item.element_size()
        if size <= budget:
            while self.bytes_held > budget - size:
                del self.kept[next(iter(self.kept))]
                self.evictions += 1
            self.kept[index] = item


def _extent(item):
    return range(item.numel()), item.element_size()


def batches(dataset, batch_size, workers=0):
    lists = [range(len(dataset))[start : start + batch_size] for start in range(0, len(dataset), batch_size)]
    options = {"num_workers": workers, "persistent_workers": True} if workers else {}
    return DataLoader(dataset, batch_sampler=lists, collate_fn=default_collate, **options)
