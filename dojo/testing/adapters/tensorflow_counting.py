"""What TensorFlow executes, and which bytes are alive at once."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from dojo.compat import watching_tensorflow
from dojo.testing.adapters.counting import Counting

# Bookkeeping: these compute nothing.
_FREE = {"Identity", "ReadVariableOp", "Const", "Cast"}


class TensorFlowCounting(Counting):
    def operations(self, f: Callable, *args: Any) -> list[str]:
        names = []
        with watching_tensorflow(lambda name, outputs: names.append(name)):
            f(*args)
        return names

    def count_ops(self, f: Callable, *args: Any) -> int:
        return sum(name not in _FREE for name in self.operations(f, *args))

    def peak_bytes(self, f: Callable, *args: Any) -> int:
        now = peak = 0

        def freed(size):
            nonlocal now
            now -= size

        def see(name, outputs):
            nonlocal now, peak
            for t in outputs:
                if hasattr(t, "numpy") and name not in _FREE | {"Reshape"}:
                    size = t.dtype.size * int(np.prod(t.shape))
                    now, peak = now + size, max(peak, now + size)
                    weakref.finalize(t, freed, size)

        with watching_tensorflow(see):
            f(*args)
        return peak
