"""Softmax, in PyTorch.

Softmax does not change when every logit of a slice moves by the same amount, so the largest is moved to 0 before
exp can overflow, and before the division by the temperature can. That entry then contributes exp(0) = 1 to the sum.
In float16 the sum itself can overflow, or stop growing at 2048 ones, so half precision is widened for the work.

The sum is below 1 only in a slice of nothing but -inf, the trap: -inf - -inf is nan, so its maximum is replaced by a
finite number, and its sum, 0, by 1. Both replacements are clamps, through which the gradients stay finite.

The Jacobian is (diag(p) - p pᵀ) / T. Times v, that is p · (v - the mean of v under p) / T: no matrix is needed.
"""

import torch
from torch import Tensor


def softmax(logits: Tensor, axis: int = -1, temperature: float = 1.0) -> Tensor:
    exps = _shifted(logits, axis, temperature).exp()
    return (exps / exps.sum(dim=axis, keepdim=True).clamp(min=1)).to(logits.dtype)


def log_softmax(logits: Tensor, axis: int = -1, temperature: float = 1.0) -> Tensor:
    shifted = _shifted(logits, axis, temperature)
    return (shifted - shifted.exp().sum(dim=axis, keepdim=True).clamp(min=1).log()).to(logits.dtype)


def softmax_jvp(probabilities: Tensor, vector: Tensor, axis: int = -1, temperature: float = 1.0) -> Tensor:
    if probabilities.shape != vector.shape:
        raise ValueError(f"probabilities have the shape {probabilities.shape}, the vector {vector.shape}")
    mean = (probabilities * vector).sum(dim=axis, keepdim=True)
    return probabilities * (vector - mean) / _positive(temperature)


def _shifted(logits: Tensor, axis: int, temperature: float) -> Tensor:
    """The logits over the temperature, moved so that the largest along the axis is 0; in float32 at least."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    largest = logits.detach().amax(dim=axis, keepdim=True).clamp(min=torch.finfo(logits.dtype).min)
    return (logits - largest) / _positive(temperature)


def _positive(temperature: float) -> float:
    if temperature <= 0:
        raise ValueError(f"the temperature must be positive, not {temperature}")
    return temperature
