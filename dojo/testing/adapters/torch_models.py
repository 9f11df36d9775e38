"""PyTorch's models and optimisers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from dojo.testing.adapters.models import Models
from dojo.testing.adapters.optimisers import Optimisers

_PLAIN = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class TorchModels(Models):
    def call(self, layer: nn.Module, *x: Any, training: bool = False) -> Any:
        return layer.train(training)(*x)

    def set_mode(self, model: nn.Module, training: bool) -> None:
        model.train(training)

    def mode(self, model: nn.Module) -> bool:
        return model.training

    def freeze(self, parameter: nn.Parameter) -> None:
        parameter.requires_grad_(False)

    def model(self, compute: Callable, trained: dict | None = None, kept: dict | None = None) -> nn.Module:
        class Model(nn.Module):
            def forward(self, x):
                return compute(self, x, self.training)

        made = Model()
        for name, array in (trained or {}).items():
            made.register_parameter(name, nn.Parameter(self.array(array)))
        for name, array in (kept or {}).items():
            made.register_buffer(name, self.array(array))
        return made

    def sequential(self, shape: tuple[int, ...], *parts: str | tuple, dtype: str = "float32") -> nn.Sequential:
        layers = []
        for part in parts:
            kind, *numbers = (part,) if isinstance(part, str) else part
            layer, shape = _made(kind, shape, *numbers)
            layers.append(layer)
        return nn.Sequential(*layers).to(self.device, getattr(torch, dtype))

    def watched(self, model: nn.Module, shape: tuple[int, ...], note: Callable) -> nn.Module:
        model.register_forward_pre_hook(lambda module, inputs: note(self.numpy(inputs[0]), module.training))
        return model


class TorchOptimisers(Optimisers):
    def optimiser(self, kind: type, parameters: Any, **options: Any) -> torch.optim.Optimizer:
        return kind(self._list(parameters), **options)

    def sgd(self, parameters: Any, rate: float, momentum: float = 0.0, weight_decay: float = 0.0) -> torch.optim.SGD:
        return self.optimiser(torch.optim.SGD, parameters, lr=rate, momentum=momentum, weight_decay=weight_decay)

    def adam(self, parameters: Any, rate: float) -> torch.optim.Adam:
        return self.optimiser(torch.optim.Adam, parameters, lr=rate)

    def apply_gradients(self, optimiser: Any, parameters: Any, gradients: Sequence[np.ndarray | None]) -> None:
        parameters = self._list(parameters)
        for parameter, gradient in zip(parameters, self._tensors_like(parameters, gradients), strict=True):
            parameter.grad = gradient
        optimiser.step()

    def set_learning_rate(self, optimiser: torch.optim.Optimizer, rate: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = rate


def _made(kind: str, shape: tuple[int, ...], *numbers: float) -> tuple[nn.Module, tuple[int, ...]]:
    """A layer for inputs of `shape`, (height, width, channels) or (features,); and the shape that it gives."""
    if kind in _PLAIN:
        return _PLAIN[kind](), shape
    if kind == "dropout":
        return nn.Dropout(*numbers), shape
    if kind == "flatten":
        return nn.Flatten(), (int(np.prod(shape)),)
    if kind == "pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), shape[-1:]
    if kind == "norm":
        return (nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d)(shape[-1]), shape
    if kind == "dense":
        return nn.Linear(shape[-1], *numbers), (*shape[:-1], *numbers)
    if kind == "conv":
        channels, side, stride = numbers
        places = [(length + 2 * (side // 2) - side) // stride + 1 for length in shape[:2]]
        return nn.Conv2d(shape[-1], channels, side, stride, side // 2), (*places, channels)
    raise ValueError(f"sequential() does not know the part {kind!r}")
