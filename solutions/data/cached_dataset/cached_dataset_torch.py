"""A dataset with a cache, in PyTorch.

An OrderedDict is the whole LRU: a hit moves its item to the end, room is made at the front, before the new item enters,
so that it never throws out itself. The lock guards the books and is free while the source loads. What is on its way is
in the books as a Future, so a second thread that wants the same item waits for the first one's load. The traps are
outside: a tensor that is handed out can be written to, a view keeps all that it looks into, a lock cannot be pickled,
and a forked worker inherits the futures of threads that it does not have.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class CachedDataset(Dataset):
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
        self._process = os.getpid()

    def __reduce__(self):
        return type(self), (self.source, self.max_bytes, self.transform)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        item = self._get(range(len(self))[index]).clone()
        return item if self.transform is None else self.transform(item)

    def _get(self, index: int) -> Tensor:
        if self._process != os.getpid():  # forked: the parent's lock may be held for ever
            self._start_empty()
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
                self._keep(index, item.clone())
                del self._on_its_way[index]
            arrival.set_result(item)

    def _keep(self, index: int, item: Tensor) -> None:
        if item.nbytes > self.max_bytes:
            return
        while self.bytes_held + item.nbytes > self.max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.bytes_held -= oldest.nbytes
            self.evictions += 1
        self._kept[index] = item
        self.bytes_held += item.nbytes


def batches(dataset: CachedDataset, batch_size: int, workers: int = 0) -> DataLoader:
    return DataLoader(dataset, batch_size, num_workers=workers, persistent_workers=workers > 0)
