"""The hand-written backward pass serves automatic differentiation too, through tf.custom_gradient; keras.ops inside."""

import keras
import tensorflow as tf
from keras import ops


def normalize(x, gamma, beta, eps=1e-5):
    if None not in x.shape and x.shape.num_elements() // x.shape[-1] < 2:
        raise ValueError("a single value per feature cannot be normalised")

    @tf.custom_gradient
    def forward(x, gamma, beta):
        wide = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x
        mean, variance = ops.moments(wide, axes=tuple(range(len(x.shape) - 1)))
        y = gamma * (wide - mean) / ops.sqrt(variance + eps) + beta

        def backward(grad, _mean, _variance):
            return normalize_backward(grad, x, gamma, eps)

        return (tf.cast(y, x.dtype), mean, variance), backward

    return forward(*map(tf.convert_to_tensor, (x, gamma, beta)))


def normalize_backward(grad, x, gamma, eps=1e-5):
    axes = tuple(range(len(x.shape) - 1))
    n = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    centred = x - ops.mean(x, axes)
    inverse = 1 / ops.sqrt(ops.mean(ops.square(centred), axes) + eps)
    x_hat = centred * inverse
    to_beta, to_gamma = ops.sum(grad, axes), ops.sum(grad * x_hat, axes)
    return gamma * inverse / n * (n * grad - to_beta - x_hat * to_gamma), to_gamma, to_beta


def update_running(running, batch, momentum, convention):
    weights = {"torch": momentum, "keras": 1 - momentum}
    if convention not in weights:
        raise ValueError(f"unknown convention {convention}")
    return running + weights[convention] * (batch - running)


class _BatchNorm(keras.layers.Layer):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.gamma = self.add_weight((num_features,), "ones", name="gamma")
        self.beta = self.add_weight((num_features,), "zeros", name="beta")
        self.running_mean = self.add_weight((num_features,), "zeros", trainable=False, name="mean")
        self.running_var = self.add_weight((num_features,), "ones", trainable=False, name="var")

    def _check(self, x, axes):
        if len(x.shape) != axes or x.shape[-1] != self.gamma.shape[-1]:
            raise ValueError(f"shape {x.shape} does not fit")

    def _run(self, x, training):
        if training:
            y, mean, variance = normalize(x, self.gamma, self.beta, self.eps)
            n = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
            for kept, new in ((self.running_mean, mean), (self.running_var, variance * n / (n - 1))):
                kept.assign((1 - self.momentum) * kept + self.momentum * new)
            return y
        factor = self.gamma / ops.sqrt(self.running_var + self.eps)
        return x * factor + (self.beta - self.running_mean * factor)


class BatchNorm1d(_BatchNorm):
    def call(self, x, training=False):
        self._check(x, axes=2)
        return self._run(x, training)


class BatchNorm2d(_BatchNorm):
    def call(self, x, training=False):
        self._check(x, axes=4)
        return self._run(x, training)
