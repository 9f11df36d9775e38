"""Dropout, in NumPy.

Every kind is one mask, drawn in the smallest shape that broadcasts to x: an axis of length one shares its decision.
The mask carries the factor 1 / (1 − p), so that nothing is left to do in evaluation; where p is 1 the factor has no
value and everything is zero. Numbers below 1 are drawn from 0 on: "at least p is kept" is then exact for p = 0 and 1.
Unpacking a shape raises the ValueError for a wrong number of axes. The trap: drawing another mask in the backward
pass. The forward pass hands its own over.
"""

from collections.abc import Callable

import numpy as np


def dropout(
    x: np.ndarray, p: float, generator: np.random.Generator, training: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    return _drop(x, p, generator, training, x.shape)


def dropout_backward(grad: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return grad * mask


def spatial_dropout(
    x: np.ndarray, p: float, generator: np.random.Generator, training: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    images, _, _, channels = x.shape
    return _drop(x, p, generator, training, (images, 1, 1, channels))


def variational_dropout(
    x: np.ndarray, p: float, generator: np.random.Generator, training: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    sequences, _, width = x.shape
    return _drop(x, p, generator, training, (sequences, 1, width))


def monte_carlo(model: Callable[..., np.ndarray], x: np.ndarray, passes: int) -> tuple[np.ndarray, np.ndarray]:
    if passes < 2:
        raise ValueError(f"{passes} pass(es) have no spread: it takes two or more")
    predictions = np.stack([model(x, training=True) for _ in range(passes)])
    return predictions.mean(axis=0), predictions.std(axis=0, ddof=1)


def _drop(
    x: np.ndarray, p: float, generator: np.random.Generator, training: bool, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability, not {p}")
    if not training:
        return x, np.ones(shape, x.dtype)
    kept = generator.random(shape) >= p
    mask = kept.astype(x.dtype) / (1 - p if p < 1 else 1)
    return x * mask, mask
