"""A lock for each item that guards its load, one more for the books, and the time of each item's last use."""

import itertools
from threading import RLock

import numpy as np
import tensorflow as tf


class Cache:
    """Items by number, no larger together than the budget."""

    def __init__(self, budget):
        self.budget, self.clock = budget, itertools.count()
        self.items, self.used, self.locks = {}, {}, {}
        self.books = RLock()
        self.counts = {"hits": 0, "misses": 0, "evictions": 0}

    def held(self):
        with self.books:
            return sum(size_of(item) for item in self.items.values())

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
            if size_of(item) > self.budget:
                return
            while self.held() + size_of(item) > self.budget:
                oldest = min(self.items, key=self.used.get)
                del self.items[oldest], self.used[oldest]
                self.count("evictions")
            self.items[number], self.used[number] = item, next(self.clock)


class CachedDataset:
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
        item = self._find_or_load(index % length)
        return item if self.transform is None else self.transform(item)

    def _find_or_load(self, number):
        cache = self._cache
        with cache.lock_of(number):
            item = cache.find(number)
            if item is None:
                cache.count("misses")
                item = self.source[number]
                cache.put(number, item)
            return item


def size_of(item):
    return np.asarray(item).nbytes


def batches(dataset, batch_size, workers=0):
    starts = tf.data.Dataset.range(0, len(dataset), batch_size)

    def batch(start):
        indices = range(len(dataset))[int(start) : int(start) + batch_size]
        return tf.stack([dataset[index] for index in indices])

    def load(start):
        return tf.py_function(batch, [start], tf.float32)

    return starts.map(load, num_parallel_calls=max(workers, 1), deterministic=True)
