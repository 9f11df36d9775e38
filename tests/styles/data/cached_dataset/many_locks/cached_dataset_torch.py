"""A lock for each item that guards its load, one more for the books, and the time of each item's last use."""

import itertools
import os
from threading import RLock

from torch.utils.data import DataLoader, Dataset


class Cache:
    """Items by number, no larger together than the budget."""

    def __init__(self, budget):
        self.budget, self.clock = budget, itertools.count()
        self.items, self.used, self.locks = {}, {}, {}
        self.books = RLock()
        self.counts = {"hits": 0, "misses": 0, "evictions": 0}
        self.owner = os.getpid()

    def held(self):
        with self.books:
            return sum(item.nbytes for item in self.items.values())

    def count(self, what):
        with self.books:
            self.counts[what] += 1

    def lock_of(self, number):
        with self.books:
            return self.locks.setdefault(number, RLock())

    def find(self, number):
        with self.books:
            if number in self.items:
                self.used[number] = next(self.clock)
                self.count("hits")
            return self.items.get(number)

    def put(self, number, item):
        with self.books:
            if item.nbytes > self.budget:
                return
            while self.held() + item.nbytes > self.budget:
                oldest = min(self.items, key=self.used.get)
                del self.items[oldest], self.used[oldest]
                self.count("evictions")
            self.items[number], self.used[number] = item, next(self.clock)


class CachedDataset(Dataset):
    def __init__(self, source, max_bytes, transform=None):
        if max_bytes < 0:
            raise ValueError(f"{max_bytes} bytes")
        self.source, self.max_bytes, self.transform = source, max_bytes, transform
        self._cache = Cache(max_bytes)

    hits = property(lambda self: self._cache.counts["hits"])
    misses = property(lambda self: self._cache.counts["misses"])
    evictions = property(lambda self: self._cache.counts["evictions"])
    bytes_held = property(lambda self: self._cache.held())

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_cache"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._cache = Cache(self.max_bytes)

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        length = len(self.source)
        if index >= length or index < -length:
            raise IndexError(f"{index} of {length}")
        if self._cache.owner != os.getpid():
            self._cache = Cache(self.max_bytes)
        item = self._find_or_load(index % length)
        return item if self.transform is None else self.transform(item)

    def _find_or_load(self, number):
        cache = self._cache
        with cache.lock_of(number):
            item = cache.find(number)
            if item is None:
                cache.count("misses")
                item = self.source[number].clone()
                cache.put(number, item)
            return item.clone()


def batches(dataset, batch_size, workers=0):
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers, persistent_workers=bool(workers))
