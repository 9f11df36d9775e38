"""Layers: the weights of the standard ones in one layout, read, written, filled and differentiated."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dojo.testing.adapters.gradients import Gradients
from dojo.testing.adapters.primitive import primitive
from dojo.testing.adapters.values import CheckFailed


class LayerWeights(dict):
    """A layer's weights, or whatever stands for each, by name; one that is asked for and not there is told in words."""

    def __init__(self, layer: Any, weights: dict[str, Any]):
        super().__init__(weights)
        self.layer = type(layer).__name__

    def __missing__(self, name: str) -> Any:
        raise CheckFailed(f"your {self.layer} has no {name}; its weights are {', '.join(self) or 'none'}.")


@dataclass(frozen=True)
class Weight:
    """A weight of a layer: the tensor that holds it, and how its array turns into the common layout and back.

    `added` are tensors that the layer adds to the first: PyTorch's second bias of an LSTM. `from_common` also gets the
    tensor's present array, for a weight that shares its tensor with another.
    """

    tensor: Any
    to_common: Callable[[np.ndarray], np.ndarray] = lambda x: x
    from_common: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda x, before: x
    added: tuple[Any, ...] = ()


class Layers(Gradients):
    """Weights in one layout for all frameworks, of layers and of models."""

    @primitive
    def _layout(self, layer: Any) -> dict[str, Weight]:
        """Name in the common layout to weight; a TypeError for a layer that is none of the standard ones."""

    @primitive
    def layers(self, model: Any) -> list[Any]:
        """All standard layers of a built model, or of a layer, in the order in which the model keeps them."""

    @primitive
    def parameters(self, model: Any) -> dict[str, Any]:
        """Name to trainable tensor."""

    @primitive
    def variables(self, model: Any) -> dict[str, Any]:
        """Name to tensor of all that is saved with a model: what it trains, and what it keeps without training it."""

    def weights(self, layer: Any) -> LayerWeights:
        """The weights of one of the framework's standard layers, in one layout for all frameworks.

        dense: kernel (in, out), bias. Convolution: kernel (kh, kw, in / groups, out), bias. Simple recurrent: kernel
        (in, units), recurrent (units, units), bias. LSTM: the same with 4·units columns, gates in the order input,
        forget, candidate, output. GRU: 3·units columns, gates in the order reset, update, candidate, with bias and
        recurrent_bias apart. Normalisation: scale, shift and, where kept, mean and variance. Embedding: table.
        """
        return LayerWeights(layer, {name: self._read(weight) for name, weight in self._layout(layer).items()})

    def _read(self, weight: Weight) -> np.ndarray:
        return weight.to_common(sum((self.numpy(tensor) for tensor in weight.added), self.numpy(weight.tensor)))

    def set_weights(self, layer: Any, weights: dict[str, np.ndarray]) -> None:
        """The inverse of `weights`: writes the arrays into a built layer."""
        layout = LayerWeights(layer, self._layout(layer))
        for name, value in weights.items():
            weight = layout[name]
            array = weight.from_common(np.asarray(value), self.numpy(weight.tensor))
            self.assign(weight.tensor, array, of=f"{name} of your {layout.layer}")
            for tensor in weight.added:
                self.assign(tensor, np.zeros(tuple(tensor.shape)))

    def layer_gradients(self, loss: Callable[[], Any], layers: Iterable[Any]) -> list[LayerWeights]:
        """`gradients` for each trained weight of each layer: name to array in the layout of `weights`, or to None."""
        layers, trained = list(layers), {id(tensor) for layer in layers for tensor in self.parameters(layer).values()}
        layouts = [{k: w for k, w in self._layout(layer).items() if id(w.tensor) in trained} for layer in layers]
        found = iter(self.gradients(loss, [weight.tensor for layout in layouts for weight in layout.values()]))
        return [
            LayerWeights(layer, {name: _common(weight, next(found)) for name, weight in layout.items()})
            for layer, layout in zip(layers, layouts, strict=True)
        ]

    def randomise(self, model: Any, rng: np.random.Generator, gain: float = 1.0) -> Any:
        """Put a random number into every weight of a built layer or model, kept statistics included; returns it.

        Kernels, recurrent ones too, are normal with the variance gain² / (numbers that enter a unit). Scales and
        variances lie between 0.5 and 1.5. Tables are standard normal, all others normal with the spread 0.5.
        """
        known = set()
        for layer in self.layers(model):
            shapes = {name: array.shape for name, array in self.weights(layer).items()}
            self.set_weights(layer, {name: _drawn(rng, name, shape, gain) for name, shape in shapes.items()})
            known |= {id(t) for weight in self._layout(layer).values() for t in (weight.tensor, *weight.added)}
        for tensor in self.parameters(model).values():
            if id(tensor) not in known:
                self.assign(tensor, rng.standard_normal(tuple(tensor.shape)) / 2)
        return model

    def layer_epsilon(self, layer: Any) -> float:
        """The ε that a normalisation layer adds to the variance."""
        return layer.epsilon

    def assign(self, parameter: Any, value: Any, of: str = "parameter") -> None:
        """Write an array or a tensor into a parameter, a variable, or a tensor that can be written to.

        The value takes the parameter's dtype. An array of another shape is refused.
        """
        if not self.is_tensor(value) and np.shape(value) != tuple(parameter.shape):
            raise CheckFailed(f"{of}: expected the shape {np.shape(value)}, got {tuple(parameter.shape)}.")
        self._assign(parameter, value)

    @primitive
    def _assign(self, parameter: Any, value: Any) -> None: ...


def _common(weight: Weight, gradient: np.ndarray | None) -> np.ndarray | None:
    return None if gradient is None else weight.to_common(gradient)


def _drawn(rng: np.random.Generator, name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    if name in ("kernel", "recurrent"):
        return gain * rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))
    if name in ("scale", "variance"):
        return rng.uniform(0.5, 1.5, shape)
    return rng.standard_normal(shape) / (1 if name == "table" else 2)
