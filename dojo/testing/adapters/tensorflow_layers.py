"""The standard layers of Keras: where each keeps its weights, and in which order."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from dojo.compat import sublayers
from dojo.testing.adapters.layers import Layers, Weight
from dojo.testing.adapters.tensorflow_start import keras

_KNOWN = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.Embedding,
    keras.layers.SimpleRNN,
    keras.layers.LSTM,
    keras.layers.GRU,
    keras.layers.SimpleRNNCell,
    keras.layers.LSTMCell,
    keras.layers.GRUCell,
)


class TensorFlowLayers(Layers):
    def _layout(self, layer: Any) -> dict[str, Weight]:
        return _layout(layer)

    def layers(self, model: Any) -> list[Any]:
        return list({id(layer): layer for layer in _walk(model)}.values())

    def parameters(self, model: Any) -> dict[str, Any]:
        return {getattr(v, "path", v.name): v for v in model.trainable_variables}

    def variables(self, model: Any) -> dict[str, Any]:
        """Random seeds and metrics belong to a layer's variables, and not to its weights."""
        return {v.path: v for v in getattr(model, "weights", model.variables)}

    def _assign(self, parameter: Any, value: Any) -> None:
        parameter.assign(value)


def _walk(model: Any) -> Iterator[Any]:
    if isinstance(model, _KNOWN):
        yield model
        return
    for layer in model.layers if isinstance(model, keras.Sequential) else sublayers(model):
        yield from _walk(layer)


def _layout(layer: Any) -> dict[str, Weight]:
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
    return {name: Weight(variable) for name, variable in entries.items() if variable is not None}


def _gru_order(x: np.ndarray) -> np.ndarray:
    """Between Keras' gate order (update, reset, candidate) and the common one (reset, update, candidate)."""
    first, second, third = np.split(x, 3, axis=-1)
    return np.concatenate([second, first, third], axis=-1)


def _gru_layout(cell: Any) -> dict[str, Weight]:
    """The two biases of the reset-after cell lie in one variable of two rows."""
    kernels = {"kernel": cell.kernel, "recurrent": cell.recurrent_kernel}
    layout = {name: _in_gru_order(variable) for name, variable in kernels.items()}
    if cell.bias is None:
        return layout
    if not cell.reset_after:
        return layout | {"bias": _in_gru_order(cell.bias)}
    return layout | {"bias": _gru_row(cell.bias, 0), "recurrent_bias": _gru_row(cell.bias, 1)}


def _in_gru_order(variable: Any) -> Weight:
    return Weight(variable, _gru_order, lambda x, before: _gru_order(x))


def _gru_row(variable: Any, row: int) -> Weight:
    def write(x: np.ndarray, before: np.ndarray) -> np.ndarray:
        before[row] = _gru_order(x)
        return before

    return Weight(variable, lambda both: _gru_order(both[row]), write)


def _depthwise_layout(layer: Any) -> dict[str, Weight]:
    """Keras keeps (kh, kw, in, multiplier); as a grouped convolution that is (kh, kw, 1, in · multiplier)."""
    shape = tuple(layer.kernel.shape)
    kernel = Weight(layer.kernel, lambda k: k.reshape(*shape[:2], 1, -1), lambda k, before: k.reshape(shape))
    return {"kernel": kernel} | ({} if layer.bias is None else {"bias": Weight(layer.bias)})
