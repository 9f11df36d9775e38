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


def _refuses(reason: str) -> Callable:
    def refused(self, *args: Any, **options: Any) -> Any:
        raise TypeError(reason)

    return refused


_no_layers = _refuses("NumPy has no layers: mark the test with autograd=True")
_no_models = _refuses("NumPy has no models: mark the test with autograd=True")
_no_optimisers = _refuses("NumPy has no optimisers: mark the test with autograd=True")
_no_groups = _refuses("NumPy has no groups of processes: mark the test with autograd=True")


class Adapter(FrameworkAdapter):
    name = "numpy"
    tensor_name = "NumPy array"
    differentiates = False

    gradients = _refuses("NumPy does not differentiate: mark the test with autograd=True")
    _layout = layers = layer_epsilon = randomise = layer_gradients = _no_layers
    freeze = model = sequential = watched = _no_models
    optimiser = sgd = adam = apply_gradients = set_learning_rate = _no_optimisers
    process_group = place_in_group = collectives = _no_groups

    def _tensor(self, x: np.ndarray, dtype: str) -> np.ndarray:
        return np.array(x, dtype=dtype)

    def numpy(self, t: Any) -> np.ndarray:
        return np.array(t)

    def strided(self, x: Any, dtype: str | None = None) -> np.ndarray:
        return self.array(np.ascontiguousarray(np.asarray(x).T), dtype).T

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, np.ndarray | np.generic)

    def dtype_name(self, t: Any) -> str:
        return t.dtype.name

    def cast(self, t: np.ndarray, dtype: str) -> np.ndarray:
        return t.astype(dtype)

    def sum(self, t: np.ndarray, axis: int | None = None) -> np.ndarray:
        return np.sum(t, axis)

    def mean(self, t: np.ndarray, axis: int | None = None) -> np.ndarray:
        return np.mean(t, axis)

    def cross_entropy(self, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        shifted = logits - logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
        return losses.mean()

    def spoil(self, t: np.ndarray) -> None:
        t[...] = 0

    def generator(self, seed: int) -> np.random.Generator:
        return np.random.default_rng(seed)

    def _assign(self, parameter: np.ndarray, value: Any) -> None:
        parameter[...] = value

    def call(self, layer: Any, *x: Any, training: bool = False) -> Any:
        return layer(*x, training=training)

    def parameters(self, model: Any) -> dict[str, Any]:
        return {name: value for name, value in vars(model).items() if isinstance(value, np.ndarray)}

    def variables(self, model: Any) -> dict[str, Any]:
        return self.parameters(model)

    def seed(self, n: int | None) -> None:
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
