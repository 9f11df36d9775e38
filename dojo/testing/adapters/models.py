"""Models: how they are called, in which mode, and small ones made from a description."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dojo.testing.adapters.layers import Layers
from dojo.testing.adapters.primitive import primitive


class Models(Layers):
    """Calling and making models."""

    @primitive
    def call(self, layer: Any, *x: Any, training: bool = False) -> Any:
        """The layer's output in training or in evaluation mode."""

    def set_mode(self, model: Any, training: bool) -> None:
        """Put the model into training or evaluation mode; nothing where the mode is an argument of each call."""

    def mode(self, model: Any) -> bool | None:
        """Whether the model is in training mode; None where the mode is an argument of each call."""
        return None

    @primitive
    def freeze(self, parameter: Any) -> None:
        """The parameter is not trained any more."""

    @primitive
    def model(
        self,
        compute: Callable[[Any, Any, bool], Any],
        trained: dict[str, np.ndarray] | None = None,
        kept: dict[str, np.ndarray] | None = None,
    ) -> Any:
        """A model of the framework's own kind whose output is compute(model, x, training).

        Args:
            compute: written with operators and `fw`, so that it works on the tensors of every framework.
            trained: attribute of the model to the array with which that parameter starts, in float32.
            kept: the same for what is saved with the model and not trained; compute writes to it by `fw.assign`.
        """

    @primitive
    def sequential(self, shape: tuple[int, ...], *parts: str | tuple, dtype: str = "float32") -> Any:
        """A built model of the framework's own layers, one after the other, with its own random start.

        Args:
            shape: of one example in common layout, (features,) or (height, width, channels).
            parts: "relu", "tanh", "sigmoid", "flatten", "pool" (the mean over height and width), "norm" (batch
                normalisation that forgets a tenth at each step, ε = 1e-5), ("dense", units), ("conv", channels, side,
                stride) with zeros of half the side around the image, ("dropout", rate).
        """

    @primitive
    def watched(self, model: Any, shape: tuple[int, ...], note: Callable[[np.ndarray, bool], None]) -> Any:
        """A model that computes the same, and calls note(x, training) before each forward pass, in graphs too.

        `shape` is that of one example in common layout; x has the batch axis and the framework's own layout.
        """
