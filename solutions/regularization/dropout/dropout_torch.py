"""Dropout, in PyTorch.

Every kind is one mask, drawn in the smallest shape that broadcasts to x: an axis of length one shares its decision.
The mask carries the factor 1 / (1 − p), so that nothing is left to do in evaluation; where p is 1 the factor has no
value and everything is zero. Numbers below 1 are drawn from 0 on: "at least p is kept" is then exact for p = 0 and 1.
Unpacking a shape raises the ValueError for a wrong number of axes. The trap: drawing another mask in the backward
pass. The forward pass hands its own over.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor


def dropout(x: Tensor, p: float, generator: Generator, training: bool = True) -> tuple[Tensor, Tensor]:
    return _drop(x, p, generator, training, x.shape)


def dropout_backward(grad: Tensor, mask: Tensor) -> Tensor:
    return grad * mask


def spatial_dropout(x: Tensor, p: float, generator: Generator, training: bool = True) -> tuple[Tensor, Tensor]:
    images, channels, _, _ = x.shape
    return _drop(x, p, generator, training, (images, channels, 1, 1))


def variational_dropout(x: Tensor, p: float, generator: Generator, training: bool = True) -> tuple[Tensor, Tensor]:
    sequences, _, width = x.shape
    return _drop(x, p, generator, training, (sequences, 1, width))


def monte_carlo(model: Callable[..., Tensor], x: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    if passes < 2:
        raise ValueError(f"{passes} pass(es) have no spread: it takes two or more")
    predictions = torch.stack([model(x, training=True) for _ in range(passes)])
    return predictions.mean(dim=0), predictions.std(dim=0)


def _drop(x: Tensor, p: float, generator: Generator, training: bool, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability, not {p}")
    if not training:
        return x, x.new_ones(shape)
    kept = torch.rand(shape, generator=generator, device=x.device) >= p
    mask = kept.to(x.dtype) / (1 - p if p < 1 else 1)
    return x * mask, mask
