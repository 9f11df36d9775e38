"""Batch normalisation, in PyTorch.

A feature is a column, or a channel of an image: every axis but axis 1 is averaged away, and everything else is
broadcasting. The batch is normalised with its biased variance (divided by n), but the running variance collects the
unbiased one (n - 1), as an estimate for data not seen. The trap of the backward pass: mean and variance depend on
every entry, so the gradient loses its mean and its projection on the normalised input.
"""

import torch
from torch import Tensor, nn


def normalize(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    if _count(x) < 2:
        raise ValueError(f"{_count(x)} value(s) per feature have no variance: train on larger batches")
    variance, mean = torch.var_mean(_wide(x), dim=_other_axes(x), correction=0)
    return _scale(x, mean, variance, gamma, beta, eps), mean, variance


def normalize_backward(grad: Tensor, x: Tensor, gamma: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    axes = _other_axes(x)
    variance, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
    inverse_std = torch.rsqrt(variance + eps)
    normalized = (x - mean) * inverse_std
    along_mean = grad.mean(axes, keepdim=True)
    along_x = (grad * normalized).mean(axes, keepdim=True)
    grad_x = _spread(gamma, x) * inverse_std * (grad - along_mean - normalized * along_x)
    return grad_x, (grad * normalized).sum(axes), grad.sum(axes)


def update_running(running: Tensor, batch: Tensor, momentum: float, convention: str) -> Tensor:
    if convention not in ("torch", "keras"):
        raise ValueError(f"the convention is 'torch' or 'keras', not {convention!r}")
    return torch.lerp(running, batch, momentum if convention == "torch" else 1 - momentum)


class BatchNorm1d(nn.Module):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.gamma = nn.Parameter(torch.ones(num_features))
        self.beta = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        return self._normalize(x, rank=2)

    def _normalize(self, x: Tensor, rank: int) -> Tensor:
        if x.ndim != rank or x.shape[1] != len(self.gamma):
            raise ValueError(f"expected {rank} axes and {len(self.gamma)} features, got the shape {tuple(x.shape)}")
        if not self.training:
            return _scale(x, self.running_mean, self.running_var, self.gamma, self.beta, self.eps)
        y, mean, variance = normalize(x, self.gamma, self.beta, self.eps)
        with torch.no_grad():
            unbiased = variance * _count(x) / (_count(x) - 1)
            self.running_mean.copy_(update_running(self.running_mean, mean, self.momentum, "torch"))
            self.running_var.copy_(update_running(self.running_var, unbiased, self.momentum, "torch"))
        return y


class BatchNorm2d(BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return self._normalize(x, rank=4)


def _scale(x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    factor = gamma * torch.rsqrt(variance + eps)
    return ((_wide(x) - _spread(mean, x)) * _spread(factor, x) + _spread(beta, x)).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    """At least float32: float16 cannot hold the squares of values beyond 255."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _count(x: Tensor) -> int:
    """How many values there are of each feature."""
    return x.numel() // x.shape[1]


def _other_axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.ndim) if axis != 1]


def _spread(vector: Tensor, x: Tensor) -> Tensor:
    """(C,) to a shape that broadcasts against x along axis 1."""
    return vector.view(-1, *[1] * (x.ndim - 2))
