"""Softmax, in TensorFlow.

Softmax does not change when every logit of a slice moves by the same amount, so the largest is moved to 0 before
exp can overflow, and before the division by the temperature can. That entry then contributes exp(0) = 1 to the sum.
In float16 the sum itself can overflow, or stop growing at 2048 ones, so half precision is widened for the work.

The sum is below 1 only in a slice of nothing but -inf, the trap: -inf - -inf is nan, so its maximum is replaced by a
finite number, and its sum, 0, by 1. Both replacements are maxima, through which the gradients stay finite.

The Jacobian is (diag(p) - p pᵀ) / T. Times v, that is p · (v - the mean of v under p) / T: no matrix is needed.
"""

import tensorflow as tf
from tensorflow import Tensor


def softmax(logits: Tensor, axis: int = -1, temperature: float = 1.0) -> Tensor:
    exps = tf.exp(_shifted(logits, axis, temperature))
    return tf.cast(exps / tf.maximum(tf.reduce_sum(exps, axis, keepdims=True), 1), logits.dtype)


def log_softmax(logits: Tensor, axis: int = -1, temperature: float = 1.0) -> Tensor:
    shifted = _shifted(logits, axis, temperature)
    total = tf.maximum(tf.reduce_sum(tf.exp(shifted), axis, keepdims=True), 1)
    return tf.cast(shifted - tf.math.log(total), logits.dtype)


def softmax_jvp(probabilities: Tensor, vector: Tensor, axis: int = -1, temperature: float = 1.0) -> Tensor:
    if probabilities.shape != vector.shape:
        raise ValueError(f"probabilities have the shape {probabilities.shape}, the vector {vector.shape}")
    mean = tf.reduce_sum(probabilities * vector, axis, keepdims=True)
    return probabilities * (vector - mean) / _positive(temperature)


def _shifted(logits: Tensor, axis: int, temperature: float) -> Tensor:
    """The logits over the temperature, moved so that the largest along the axis is 0; in float32 at least."""
    logits = tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits
    largest = tf.maximum(tf.reduce_max(tf.stop_gradient(logits), axis, keepdims=True), logits.dtype.min)
    return (logits - largest) / _positive(temperature)


def _positive(temperature: float) -> float:
    if temperature <= 0:
        raise ValueError(f"the temperature must be positive, not {temperature}")
    return temperature
