"""Softmax, in NumPy.

Softmax does not change when every logit of a slice moves by the same amount, so the largest is moved to 0 before
exp can overflow, and before the division by the temperature can. That entry then contributes exp(0) = 1 to the sum.
In float16 the sum itself can overflow, or stop growing at 2048 ones, so half precision is widened for the work.

The sum is below 1 only in a slice of nothing but -inf, the trap: -inf - -inf is nan, so its maximum is replaced by a
finite number, and its sum, 0, by 1.

The Jacobian is (diag(p) - p pᵀ) / T. Times v, that is p · (v - the mean of v under p) / T: no matrix is needed.
"""

import numpy as np


def softmax(logits: np.ndarray, axis: int = -1, temperature: float = 1.0) -> np.ndarray:
    exps = np.exp(_shifted(logits, axis, temperature))
    return (exps / np.maximum(exps.sum(axis=axis, keepdims=True), 1)).astype(logits.dtype)


def log_softmax(logits: np.ndarray, axis: int = -1, temperature: float = 1.0) -> np.ndarray:
    shifted = _shifted(logits, axis, temperature)
    return (shifted - np.log(np.maximum(np.exp(shifted).sum(axis=axis, keepdims=True), 1))).astype(logits.dtype)


def softmax_jvp(probabilities: np.ndarray, vector: np.ndarray, axis: int = -1, temperature: float = 1.0) -> np.ndarray:
    if probabilities.shape != vector.shape:
        raise ValueError(f"probabilities have the shape {probabilities.shape}, the vector {vector.shape}")
    mean = (probabilities * vector).sum(axis=axis, keepdims=True)
    return probabilities * (vector - mean) / _positive(temperature)


def _shifted(logits: np.ndarray, axis: int, temperature: float) -> np.ndarray:
    """The logits over the temperature, moved so that the largest along the axis is 0; in float32 at least."""
    logits = logits.astype(np.promote_types(logits.dtype, "float32"), copy=False)
    largest = np.maximum(logits.max(axis=axis, keepdims=True), np.finfo(logits.dtype).min)
    return (logits - largest) / _positive(temperature)


def _positive(temperature: float) -> float:
    if temperature <= 0:
        raise ValueError(f"the temperature must be positive, not {temperature}")
    return temperature
