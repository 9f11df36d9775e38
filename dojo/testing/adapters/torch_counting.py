"""What PyTorch dispatches, and which bytes are alive at once."""

import weakref
from collections.abc import Callable
from typing import Any

import torch

from dojo.compat import torch_leaves, watching_torch
from dojo.testing.adapters.counting import Counting

# Views and other bookkeeping: they compute nothing.
_FREE = {"aten::detach", "aten::alias", "aten::view", "aten::_unsafe_view"}


class TorchCounting(Counting):
    def operations(self, f: Callable, *args: Any) -> list[str]:
        names = []

        def see(name, args, kwargs, run):
            names.append(name)
            return run()

        with watching_torch(see):
            f(*args)
        return names

    def count_ops(self, f: Callable, *args: Any) -> int:
        return sum(name not in _FREE for name in self.operations(f, *args))

    def peak_bytes(self, f: Callable, *args: Any) -> int:
        meter = _Meter()
        with watching_torch(meter.see):
            f(*args)
        return meter.peak


class _Meter:
    """Follows the bytes of the storages that operations make, until each is freed."""

    def __init__(self):
        self.alive, self.now, self.peak = {}, 0, 0

    def see(self, name: str, args: tuple, kwargs: dict, run: Callable) -> Any:
        known = {_storage(t) for t in torch_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = run()
        for t in torch_leaves(result):
            if isinstance(t, torch.Tensor) and _storage(t) not in known | self.alive.keys():
                self._follow(t.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = storage.data_ptr(), storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        self.alive[key] = weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self.alive.pop(key, None)
        self.now -= size


def _storage(t: torch.Tensor) -> int:
    return t.untyped_storage().data_ptr()
