"""One condition variable, a plain dict whose order is the order of use, and batches from a PyDataset."""

import math
import threading

import keras
import tensorflow as tf


class CachedDataset:
    def __init__(self, source, max_bytes, transform=None):
        if not max_bytes >= 0:
            raise ValueError("max_bytes")
        self.arguments = source, max_bytes, transform
        self.changed = threading.Condition()
        self.kept, self.loading = {}, set()
        self.hits, self.misses, self.evictions, self.bytes_held = 0, 0, 0, 0

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
        transform = self.arguments[2] or tf.identity
        return transform(self.fetch(index))

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
                    self.keep(index, item)
                self.loading.discard(index)
                self.changed.notify_all()

    def keep(self, index, item):
        budget, size = self.arguments[1], item.numpy().nbytes
        if size > budget:
            return
        for other in list(self.kept):
            if self.bytes_held + size <= budget:
                break
            self.bytes_held -= self.kept.pop(other).numpy().nbytes
            self.evictions += 1
        self.kept[index] = item
        self.bytes_held += size


class Batches(keras.utils.PyDataset):
    def __init__(self, dataset, batch_size, **options):
        super().__init__(**options)
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self):
        return math.ceil(len(self.dataset) / self.batch_size)

    def __getitem__(self, number):
        first = number * self.batch_size
        last = min(first + self.batch_size, len(self.dataset))
        return tf.stack([self.dataset[index] for index in range(first, last)])


def batches(dataset, batch_size, workers=0):
    return Batches(dataset, batch_size, workers=max(workers, 1))
