"""All that dojo knows about NumPy."""

import random
import sys
import sysconfig
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from dojo.testing.adapters.base import FrameworkAdapter

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


class Adapter(FrameworkAdapter):
    name = "numpy"
    tensor_name = "NumPy array"
    differentiates = False

    def _tensor(self, x: np.ndarray, dtype: str) -> np.ndarray:
        return np.array(x, dtype=dtype)

    def numpy(self, t: Any) -> np.ndarray:
        return np.array(t)

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, np.ndarray | np.generic)

    def dtype_name(self, t: Any) -> str:
        return t.dtype.name

    def _gradients(self, f: Callable, arrays: list, cotangent: np.ndarray) -> list:
        raise TypeError("NumPy does not differentiate: mark the level with autograd=True")

    def weights(self, layer: Any) -> dict[str, np.ndarray]:
        raise TypeError("NumPy has no layers")

    def set_weights(self, layer: Any, weights: dict[str, np.ndarray]) -> None:
        raise TypeError("NumPy has no layers")

    def call(self, layer: Any, *x: Any, training: bool = False) -> Any:
        return layer(*x, training=training)

    def parameters(self, model: Any) -> dict[str, Any]:
        return {name: value for name, value in vars(model).items() if isinstance(value, np.ndarray)}

    def seed(self, n: int) -> None:
        random.seed(n)
        np.random.seed(n)

    def count_ops(self, f: Callable, *args: Any) -> int:
        """Lines run in Python code that belongs to no library: a loop over entries shows, a vectorised call is one."""
        count = 0

        def trace(frame, event, _):
            nonlocal count
            if frame.f_code.co_filename.startswith(_LIBRARIES):
                return None
            count += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            f(*args)
        finally:
            sys.settrace(before)
        return count

    def peak_bytes(self, f: Callable, *args: Any) -> int:
        tracemalloc.start()
        try:
            f(*args)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
