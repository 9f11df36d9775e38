"""What every adapter offers for tensors: arrays in and out, dtypes, the framework's own layout, a few operations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dojo.testing.adapters.primitive import primitive


class Arrays:
    """Tensors of a framework behind one set of names. "Common layout" means channels last."""

    device: str

    # ---------------------------------------------------------------- in and out

    def array(self, x: Any, dtype: str | None = None) -> Any:
        """A tensor of this framework with the values of `x`: floats become float32 unless `dtype` says otherwise."""
        x = np.asarray(x)
        if dtype is None and x.dtype.kind == "f":
            dtype = "float32"
        return self._tensor(x, dtype or x.dtype.name)

    @primitive
    def _tensor(self, x: np.ndarray, dtype: str) -> Any:
        """A new tensor on the adapter's device; it shares no memory with `x`."""

    @primitive
    def numpy(self, t: Any) -> np.ndarray:
        """The values of a tensor as a new array; bfloat16, which NumPy lacks, becomes float32."""

    def strided(self, x: Any, dtype: str | None = None) -> Any:
        """`array`, but its memory lies in the order of the transpose, where tensors have such an order."""
        return self.array(x, dtype)

    @primitive
    def is_tensor(self, value: Any) -> bool:
        """Whether the value is a tensor of this framework, a parameter or a variable."""

    @primitive
    def dtype_name(self, t: Any) -> str:
        """The dtype of a tensor under NumPy's name: "float32", "int64", "bool", "bfloat16"."""

    def device_of(self, t: Any) -> str:
        """Where the tensor lies, as the framework names it."""
        return str(t.device)

    # ---------------------------------------------------------------- the framework's own layout

    def own_layout(self, x: np.ndarray) -> np.ndarray:
        """(…, height, width, channel) in the framework's own order of axes, as an array.

        An array of fewer than three axes has no height and width, and stays as it is.
        """
        return x

    def common_layout(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `own_layout`: an array of (…, height, width, channel)."""
        return x

    def own_kernel(self, x: np.ndarray) -> np.ndarray:
        """A convolution's kernel (height, width, in, out) in the framework's own order of axes, as an array."""
        return x

    def common_kernel(self, x: np.ndarray) -> np.ndarray:
        """The inverse of `own_kernel`: an array of (height, width, in, out)."""
        return x

    def images(self, x: np.ndarray, dtype: str | None = None) -> Any:
        """A tensor in the framework's own image layout, from (batch, height, width, channel)."""
        return self.array(self.own_layout(x), dtype)

    def images_numpy(self, t: Any) -> np.ndarray:
        """(batch, height, width, channel) from a tensor in the framework's own image layout."""
        return self.common_layout(self.numpy(t))

    # ---------------------------------------------------------------- operations

    def epsilon(self, dtype: str) -> float:
        """The distance from 1 to the next number of a float dtype."""
        return 2.0**-7 if dtype == "bfloat16" else float(np.finfo(dtype).eps)

    @primitive
    def cast(self, t: Any, dtype: str) -> Any:
        """The tensor in another dtype. Gradients pass."""

    @primitive
    def sum(self, t: Any, axis: int | None = None) -> Any:
        """The sum of all entries, a tensor of shape (), or the sums along an axis. Gradients pass."""

    @primitive
    def mean(self, t: Any, axis: int | None = None) -> Any:
        """The mean of all entries, a tensor of shape (), or the means along an axis. Gradients pass."""

    @primitive
    def cross_entropy(self, logits: Any, labels: Any) -> Any:
        """The mean cross-entropy, a tensor of shape (), of logits (batch, classes) and labels (batch,), integers."""

    def own_loss(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """A loss of (outputs, targets) with its two arguments in the order that the framework's own losses have."""
        return loss

    def traced(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """The function as the framework compiles it, where it does: in TensorFlow a tf.function."""
        return f

    def spoil(self, t: Any) -> None:
        """Fill the tensor with zeros, as a careless caller does; nothing where tensors cannot be written to."""

    @primitive
    def generator(self, seed: int) -> Any:
        """A seeded random generator of the framework, on the adapter's device."""
