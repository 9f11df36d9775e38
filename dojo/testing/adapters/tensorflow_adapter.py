"""All that dojo knows about TensorFlow and Keras."""

import os
import random
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dojo.files import ROOT
from dojo.testing.adapters.base import CheckFailed, FrameworkAdapter, LayerWeights


@contextmanager
def _quiet() -> Iterator[None]:
    """Send file descriptor 2 elsewhere: TensorFlow's C++ side greets on it, and no setting of its own stops that."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# Set before the import: Keras reads them then, and must find no settings of another project.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["KERAS_HOME"] = str(ROOT / ".dojo" / "keras")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# oneDNN compiles a kernel for each new shape, which costs more than all that a test computes with it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
with _quiet():
    import keras
    import tensorflow as tf
    from tensorflow.python.framework import op_callbacks

# Bookkeeping: these compute nothing.
_FREE = {"Identity", "ReadVariableOp", "Const", "Cast"}


class Adapter(FrameworkAdapter):
    name = "tensorflow"
    tensor_name = "tf.Tensor"

    def __init__(self, device: str = "cpu"):
        super().__init__(device)
        if os.environ.get("OMP_NUM_THREADS") == "1":  # one thread was asked for; TensorFlow does not read it
            try:
                tf.config.threading.set_intra_op_parallelism_threads(1)
                tf.config.threading.set_inter_op_parallelism_threads(1)
            except RuntimeError:
                pass  # somebody has run an operation already: the threads are as they are

    def _tensor(self, x: np.ndarray, dtype: str) -> tf.Tensor:
        with tf.device(self.device):  # converted by NumPy: a cast of TensorFlow's is one more operation
            return tf.constant(x.astype(tf.as_dtype(dtype).as_numpy_dtype))

    def numpy(self, t: Any) -> np.ndarray:
        if self.dtype_name(t) == "bfloat16":
            t = tf.cast(t, "float32")
        return np.array(tf.convert_to_tensor(t))

    def is_tensor(self, value: Any) -> bool:
        return tf.is_tensor(value) or isinstance(value, keras.Variable)

    def dtype_name(self, t: Any) -> str:
        return tf.as_dtype(t.dtype).name

    def _gradients(self, f: Callable, arrays: list, cotangent: np.ndarray) -> list:
        tensors = [self._tensor(x, x.dtype.name) for x in arrays]
        leaves = [t for t in tensors if t.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            result = f(*tensors)
        self.check_shape(result, cotangent.shape)
        if result.dtype != tf.float64:
            raise CheckFailed(f"result: float64 inputs gave {self.dtype_name(result)}. Keep the dtype of the inputs.")
        gradients = tape.gradient(result, leaves, output_gradients=self._tensor(cotangent, "float64"))
        found = dict(zip(map(id, leaves), gradients, strict=True))
        return [None if found.get(id(t)) is None else self.numpy(found[id(t)]) for t in tensors]

    def weights(self, layer: keras.layers.Layer) -> LayerWeights:
        layout = _layout(layer).items()
        return LayerWeights(layer, {name: read(self.numpy(variable)) for name, (variable, read, _) in layout})

    def set_weights(self, layer: keras.layers.Layer, weights: dict[str, np.ndarray]) -> None:
        layout = LayerWeights(layer, _layout(layer))
        for name, value in weights.items():
            variable, _, from_common = layout[name]
            variable.assign(from_common(np.asarray(value)))

    def call(self, layer: keras.layers.Layer, *x: Any, training: bool = False) -> Any:
        return layer(*x, training=training)

    def parameters(self, model: Any) -> dict[str, Any]:
        return {getattr(v, "path", v.name): v for v in model.trainable_variables}

    def wake(self) -> None:
        with _quiet():  # where there is no GPU it says so, loudly
            tf.config.list_logical_devices()

    def seed(self, n: int) -> None:
        keras.utils.set_random_seed(n)
        random.seed(n)

    def count_ops(self, f: Callable, *args: Any) -> int:
        count = 0

        def callback(op_type, inputs, attrs, outputs, op_name=None, graph=None):
            nonlocal count
            count += str(op_type) not in _FREE

        with _callback(callback):
            f(*args)
        return count

    def peak_bytes(self, f: Callable, *args: Any) -> int:
        now = peak = 0

        def freed(size):
            nonlocal now
            now -= size

        def callback(op_type, inputs, attrs, outputs, op_name=None, graph=None):
            nonlocal now, peak
            for t in outputs:
                if hasattr(t, "numpy") and str(op_type) not in _FREE | {"Reshape"}:
                    size = t.dtype.size * int(np.prod(t.shape))
                    now, peak = now + size, max(peak, now + size)
                    weakref.finalize(t, freed, size)

        with _callback(callback):
            f(*args)
        return peak

    def on_accelerator(self) -> "Adapter | None":
        tf.config.experimental.enable_tensor_float_32_execution(False)
        return Adapter("gpu") if tf.config.list_logical_devices("GPU") else None


@contextmanager
def _callback(callback: Callable) -> Iterator[None]:
    op_callbacks.add_op_callback(callback)
    try:
        yield
    finally:
        op_callbacks.remove_op_callback(callback)


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _gru_order(x: np.ndarray) -> np.ndarray:
    """Between Keras' gate order (update, reset, candidate) and the common one (reset, update, candidate)."""
    first, second, third = np.split(x, 3, axis=-1)
    return np.concatenate([second, first, third], axis=-1)


def _layout(layer: Any) -> dict[str, tuple[Any, Callable, Callable]]:
    """Name in the common layout to (variable, to the common layout, from it)."""
    layer = getattr(layer, "cell", layer)
    if isinstance(layer, keras.layers.GRUCell):
        return _gru_layout(layer)
    if isinstance(layer, keras.layers.LSTMCell | keras.layers.SimpleRNNCell):
        entries = {"kernel": layer.kernel, "recurrent": layer.recurrent_kernel, "bias": layer.bias}
    elif isinstance(layer, keras.layers.DepthwiseConv2D):
        return _depthwise_layout(layer)
    elif isinstance(
        layer, keras.layers.Dense | keras.layers.Conv1D | keras.layers.Conv2D | keras.layers.Conv2DTranspose
    ):
        entries = {"kernel": layer.kernel, "bias": layer.bias}
    elif isinstance(layer, keras.layers.BatchNormalization):
        entries = {
            "scale": layer.gamma,
            "shift": layer.beta,
            "mean": layer.moving_mean,
            "variance": layer.moving_variance,
        }
    elif isinstance(layer, keras.layers.LayerNormalization | keras.layers.GroupNormalization):
        entries = {"scale": layer.gamma, "shift": layer.beta}
    elif isinstance(layer, keras.layers.Embedding):
        entries = {"table": layer.embeddings}
    else:
        raise TypeError(f"weights() does not know the layer {type(layer).__name__}")
    return {name: (variable, _same, _same) for name, variable in entries.items() if variable is not None}


def _gru_layout(cell: keras.layers.GRUCell) -> dict[str, tuple[Any, Callable, Callable]]:
    """The two biases of the reset-after cell lie in one variable of two rows."""
    layout = {
        name: (variable, _gru_order, _gru_order)
        for name, variable in (("kernel", cell.kernel), ("recurrent", cell.recurrent_kernel))
    }
    if cell.bias is None:
        return layout
    if not cell.reset_after:
        return layout | {"bias": (cell.bias, _gru_order, _gru_order)}

    class Row:
        def __init__(self, row):
            self.row, self.dtype = row, cell.bias.dtype

        def __array__(self, dtype=None, copy=None):
            return np.array(cell.bias, dtype=dtype)[self.row]

        def assign(self, value):
            both = np.array(cell.bias)
            both[self.row] = value
            cell.bias.assign(both)

    return layout | {
        "bias": (Row(0), _gru_order, _gru_order),
        "recurrent_bias": (Row(1), _gru_order, _gru_order),
    }


def _depthwise_layout(layer: keras.layers.DepthwiseConv2D) -> dict[str, tuple[Any, Callable, Callable]]:
    """Keras keeps (kh, kw, in, multiplier); as a grouped convolution that is (kh, kw, 1, in · multiplier)."""
    shape = tuple(layer.kernel.shape)
    layout = {"kernel": (layer.kernel, lambda k: k.reshape(*shape[:2], 1, -1), lambda k: k.reshape(shape))}
    return layout | ({} if layer.bias is None else {"bias": (layer.bias, _same, _same)})
