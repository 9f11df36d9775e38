"""Optimisers of the framework, and steps with given gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dojo.testing.adapters.layers import Layers
from dojo.testing.adapters.primitive import primitive


class Optimisers(Layers):
    """`parameters` is a model, or a list of the tensors to train."""

    @primitive
    def optimiser(self, kind: type, parameters: Any, **options: Any) -> Any:
        """An optimiser of this class over the parameters, ready to take a step.

        Args:
            kind: a subclass of the framework's own base class of optimisers.
            options: under PyTorch's names: lr, betas, eps, momentum, weight_decay …; a framework that has others
                translates these.
        """

    @primitive
    def sgd(self, parameters: Any, rate: float, momentum: float = 0.0, weight_decay: float = 0.0) -> Any:
        """The framework's own gradient descent."""

    @primitive
    def adam(self, parameters: Any, rate: float) -> Any:
        """The framework's own Adam."""

    @primitive
    def apply_gradients(self, optimiser: Any, parameters: Any, gradients: Sequence[np.ndarray | None]) -> None:
        """One step with these gradients, arrays in the parameters' own layout; None where one has none."""

    @primitive
    def set_learning_rate(self, optimiser: Any, rate: float) -> None:
        """The next steps have this rate."""

    def _list(self, parameters: Any) -> list[Any]:
        return list(parameters) if isinstance(parameters, list | tuple) else list(self.parameters(parameters).values())

    def _tensors_like(self, parameters: list[Any], gradients: Sequence[np.ndarray | None]) -> list[Any]:
        """The gradients as tensors in the dtype of their parameters."""
        return [
            None if gradient is None else self.array(gradient, self.dtype_name(parameter))
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]
