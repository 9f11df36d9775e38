"""Batch normalisation, in TensorFlow.

A feature is a column, or a channel of an image: every axis but the last is averaged away, and broadcasting does the
rest. The batch is normalised with its biased variance (divided by n), but the running variance collects the unbiased
one (n - 1), as an estimate for data not seen. The trap of the backward pass: mean and variance depend on every
entry, so the gradient loses its mean and its projection on the normalised input. Inside a tf.function the batch size
may be known only at run time, so n is counted there.
"""

import keras
import tensorflow as tf
from tensorflow import Tensor


def normalize(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    values = x.shape.num_elements()
    if values is not None and values < 2 * x.shape[-1]:
        raise ValueError(f"{values // x.shape[-1]} value(s) per feature have no variance: train on larger batches")
    mean, variance = tf.nn.moments(_wide(x), _other_axes(x))
    return _scale(x, mean, variance, gamma, beta, eps), mean, variance


def normalize_backward(grad: Tensor, x: Tensor, gamma: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    axes = _other_axes(x)
    mean, variance = tf.nn.moments(x, axes)
    inverse_std = tf.math.rsqrt(variance + eps)
    normalized = (x - mean) * inverse_std
    along_mean = tf.reduce_mean(grad, axes)
    along_x = tf.reduce_mean(grad * normalized, axes)
    grad_x = gamma * inverse_std * (grad - along_mean - normalized * along_x)
    return grad_x, tf.reduce_sum(grad * normalized, axes), tf.reduce_sum(grad, axes)


def update_running(running: Tensor, batch: Tensor, momentum: float, convention: str) -> Tensor:
    if convention not in ("torch", "keras"):
        raise ValueError(f"the convention is 'torch' or 'keras', not {convention!r}")
    share = momentum if convention == "torch" else 1 - momentum
    return running + share * (batch - running)


class BatchNorm1d(keras.layers.Layer):
    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        shape = (num_features,)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.running_mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="running_mean")
        self.running_var = self.add_weight(shape=shape, initializer="ones", trainable=False, name="running_var")

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return self._normalize(x, training, rank=2)

    def _normalize(self, x: Tensor, training: bool, rank: int) -> Tensor:
        if x.shape.rank != rank or x.shape[-1] != self.gamma.shape[0]:
            raise ValueError(f"expected {rank} axes and {self.gamma.shape[0]} features, got the shape {x.shape}")
        if not training:
            return _scale(x, self.running_mean, self.running_var, self.gamma, self.beta, self.eps)
        y, mean, variance = normalize(x, self.gamma, self.beta, self.eps)
        count = tf.cast(tf.size(x) / x.shape[-1], variance.dtype)
        unbiased = variance * count / (count - 1)
        self.running_mean.assign(update_running(self.running_mean, mean, self.momentum, "torch"))
        self.running_var.assign(update_running(self.running_var, unbiased, self.momentum, "torch"))
        return y


class BatchNorm2d(BatchNorm1d):
    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return self._normalize(x, training, rank=4)


def _scale(x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    return tf.cast((_wide(x) - mean) * (gamma * tf.math.rsqrt(variance + eps)) + beta, x.dtype)


def _wide(x: Tensor) -> Tensor:
    """At least float32: float16 cannot hold the squares of values beyond 255."""
    return tf.cast(x, tf.float32) if x.dtype.size == 2 else x


def _other_axes(x: Tensor) -> list[int]:
    return list(range(x.shape.rank - 1))
