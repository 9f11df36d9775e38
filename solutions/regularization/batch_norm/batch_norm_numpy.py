"""Batch normalisation, in NumPy.

A feature is a column, or a channel of an image: every axis but the last is averaged away, and broadcasting does the
rest. The batch is normalised with its biased variance (divided by n), but the running variance collects the unbiased
one (n - 1), as an estimate for data not seen. The trap of the backward pass: mean and variance depend on every
entry, so the gradient loses its mean and its projection on the normalised input.
"""

import numpy as np


def normalize(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if _count(x) < 2:
        raise ValueError(f"{_count(x)} value(s) per feature have no variance: train on larger batches")
    wide, axes = _wide(x), _other_axes(x)
    mean, variance = wide.mean(axes), wide.var(axes)
    return _scale(x, mean, variance, gamma, beta, eps), mean, variance


def normalize_backward(
    grad: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = _other_axes(x)
    inverse_std = 1 / np.sqrt(x.var(axes) + eps)
    normalized = (x - x.mean(axes)) * inverse_std
    along_mean, along_x = grad.mean(axes), (grad * normalized).mean(axes)
    grad_x = gamma * inverse_std * (grad - along_mean - normalized * along_x)
    return grad_x, (grad * normalized).sum(axes), grad.sum(axes)


def update_running(running: np.ndarray, batch: np.ndarray, momentum: float, convention: str) -> np.ndarray:
    if convention not in ("torch", "keras"):
        raise ValueError(f"the convention is 'torch' or 'keras', not {convention!r}")
    share = momentum if convention == "torch" else 1 - momentum
    return running + share * (batch - running)


class BatchNorm1d:
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        self.eps, self.momentum = eps, momentum
        self.gamma = np.ones(num_features, np.float32)
        self.beta = np.zeros(num_features, np.float32)
        self.running_mean = np.zeros(num_features, np.float32)
        self.running_var = np.ones(num_features, np.float32)

    def __call__(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return self._normalize(x, training, rank=2)

    def _normalize(self, x: np.ndarray, training: bool, rank: int) -> np.ndarray:
        if x.ndim != rank or x.shape[-1] != len(self.gamma):
            raise ValueError(f"expected {rank} axes and {len(self.gamma)} features, got the shape {x.shape}")
        if not training:
            return _scale(x, self.running_mean, self.running_var, self.gamma, self.beta, self.eps)
        y, mean, variance = normalize(x, self.gamma, self.beta, self.eps)
        unbiased = variance * _count(x) / (_count(x) - 1)
        self.running_mean = update_running(self.running_mean, mean, self.momentum, "torch")
        self.running_var = update_running(self.running_var, unbiased, self.momentum, "torch")
        return y


class BatchNorm2d(BatchNorm1d):
    def __call__(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return self._normalize(x, training, rank=4)


def _scale(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float
) -> np.ndarray:
    return ((x - mean) * (gamma / np.sqrt(variance + eps)) + beta).astype(x.dtype)


def _wide(x: np.ndarray) -> np.ndarray:
    """At least float32: float16 cannot hold the squares of values beyond 255."""
    return x.astype(np.promote_types(x.dtype, np.float32), copy=False)


def _count(x: np.ndarray) -> int:
    """How many values there are of each feature."""
    return x.size // x.shape[-1]


def _other_axes(x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))
