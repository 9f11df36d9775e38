"""A dataset with a cache, in TensorFlow.

An OrderedDict is the whole LRU: a hit moves its item to the end, room is made at the front, before the new item enters,
so that it never throws out itself. The lock guards the books and is free while the source loads. What is on its way is
in the books as a Future, so a second thread that wants the same item waits for the first one's load. The traps are
outside: a lock cannot be pickled, and tf.data traces what it maps, so the items go through tf.py_function.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import tensorflow as tf
from tensorflow import Tensor


class CachedDataset:
    def __init__(self, source: Sequence[Tensor], max_bytes: int, transform: Callable[[Tensor], Any] | None = None):
        if max_bytes < 0:
            raise ValueError(f"the budget must not be negative, and is {max_bytes} bytes")
        self.source, self.max_bytes, self.transform = source, max_bytes, transform
        self._start_empty()

    def _start_empty(self) -> None:
        self.hits = self.misses = self.evictions = self.bytes_held = 0
        self._kept: OrderedDict[int, Tensor] = OrderedDict()
        self._on_its_way: dict[int, Future[Tensor]] = {}
        self._lock = threading.Lock()

    def __reduce__(self):
        return type(self), (self.source, self.max_bytes, self.transform)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        item = self._get(range(len(self))[index])
        return item if self.transform is None else self.transform(item)

    def _get(self, index: int) -> Tensor:
        with self._lock:
            if index in self._kept:
                self.hits += 1
                self._kept.move_to_end(index)
                return self._kept[index]
            if waiting := index in self._on_its_way:
                self.hits += 1
            else:
                self.misses += 1
                self._on_its_way[index] = Future()
            arrival = self._on_its_way[index]
        if not waiting:
            self._load(index, arrival)
        return arrival.result()

    def _load(self, index: int, arrival: Future) -> None:
        try:
            item = self.source[index]
        except BaseException as error:
            with self._lock:
                del self._on_its_way[index]
            arrival.set_exception(error)
        else:
            with self._lock:
                self._keep(index, item)
                del self._on_its_way[index]
            arrival.set_result(item)

    def _keep(self, index: int, item: Tensor) -> None:
        size = _size(item)
        if size > self.max_bytes:
            return
        while self.bytes_held + size > self.max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.bytes_held -= _size(oldest)
            self.evictions += 1
        self._kept[index] = item
        self.bytes_held += size


def batches(dataset: CachedDataset, batch_size: int, workers: int = 0) -> tf.data.Dataset:
    def load(index: Tensor) -> Tensor:
        return tf.py_function(lambda index: dataset[int(index)], [index], tf.float32)

    indices = tf.data.Dataset.range(len(dataset))
    return indices.map(load, num_parallel_calls=workers or None).batch(batch_size)


def _size(item: Tensor) -> int:
    """In bytes."""
    return item.dtype.size * item.shape.num_elements()
