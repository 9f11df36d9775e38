"""Models and optimisers of Keras."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dojo.testing.adapters.models import Models
from dojo.testing.adapters.optimisers import Optimisers
from dojo.testing.adapters.tensorflow_start import keras, tf

_NAMES = {"lr": "learning_rate", "eps": "epsilon"}  # PyTorch's names of options to those of Keras


class TensorFlowModels(Models):
    def call(self, layer: Any, *x: Any, training: bool = False) -> Any:
        return layer(*x, training=training)

    def freeze(self, parameter: keras.Variable) -> None:
        parameter.trainable = False

    def model(self, compute: Callable, trained: dict | None = None, kept: dict | None = None) -> keras.Model:
        class Model(keras.Model):
            def call(self, x, training=False):
                return compute(self, x, training)

        made = Model()
        for arrays, is_trained in ((trained, True), (kept, False)):
            for name, array in (arrays or {}).items():
                variable = made.add_weight(shape=np.shape(array), name=name, trainable=is_trained)
                variable.assign(array)
                setattr(made, name, variable)
        return made

    def sequential(self, shape: tuple[int, ...], *parts: str | tuple, dtype: str = "float32") -> keras.Sequential:
        layers = [keras.Input(shape, dtype=dtype)]
        for part in parts:
            layers += _made(dtype, *((part,) if isinstance(part, str) else part))
        return keras.Sequential(layers)

    def watched(self, model: Any, shape: tuple[int, ...], note: Callable) -> keras.Sequential:
        class Watch(keras.layers.Layer):
            supports_jit = False  # a compiled step could not note anything

            def call(self, x, training=None):
                tf.py_function(lambda array: note(array.numpy(), bool(training)), [x], [])
                return x

        return keras.Sequential([keras.Input(shape), Watch(), model])


class TensorFlowOptimisers(Optimisers):
    def optimiser(self, kind: type, parameters: Any, **options: Any) -> keras.optimizers.Optimizer:
        made = kind(**_renamed(options))
        made.build(self._list(parameters))
        return made

    def sgd(self, parameters: Any, rate: float, momentum: float = 0.0, weight_decay: float = 0.0) -> Any:
        return keras.optimizers.SGD(rate, momentum=momentum, weight_decay=weight_decay)

    def adam(self, parameters: Any, rate: float) -> Any:
        return keras.optimizers.Adam(rate)

    def apply_gradients(self, optimiser: Any, parameters: Any, gradients: Sequence[np.ndarray | None]) -> None:
        parameters = self._list(parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of a variable that has no gradient
            optimiser.apply_gradients(zip(self._tensors_like(parameters, gradients), parameters, strict=True))

    def set_learning_rate(self, optimiser: Any, rate: float) -> None:
        optimiser.learning_rate = rate


def _renamed(options: dict[str, Any]) -> dict[str, Any]:
    renamed = {_NAMES.get(name, name): value for name, value in options.items() if name != "betas"}
    return renamed | (dict(zip(("beta_1", "beta_2"), options["betas"], strict=True)) if "betas" in options else {})


def _made(dtype: str, kind: str, *numbers: float) -> list[Any]:
    """The layers that a part of `sequential` stands for."""
    layers = keras.layers
    if kind in ("relu", "tanh", "sigmoid"):
        return [layers.Activation(kind, dtype=dtype)]
    if kind == "conv":
        channels, side, stride = numbers
        padding = layers.ZeroPadding2D(side // 2, dtype=dtype)  # Keras' own "same" pads unevenly at stride 2
        return [padding, layers.Conv2D(channels, side, stride, dtype=dtype)]
    if kind == "norm":
        return [layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)]
    kinds = {
        "flatten": layers.Flatten,
        "pool": layers.GlobalAveragePooling2D,
        "dense": layers.Dense,
        "dropout": layers.Dropout,
    }
    if kind not in kinds:
        raise ValueError(f"sequential() does not know the part {kind!r}")
    return [kinds[kind](*numbers, dtype=dtype)]
