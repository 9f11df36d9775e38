"""Images become tables: (pixels, channels). The backward pass goes the paper's way, one intermediate after another."""

import keras
import tensorflow as tf


def _table(x):
    rows = tf.reshape(x, (-1, x.shape[-1]))
    return tf.cast(rows, "float32") if rows.dtype == tf.half else rows


def _like(rows, x):
    return tf.cast(tf.reshape(rows, tf.shape(x)), x.dtype)


def normalize(x, gamma, beta, eps=1e-5):
    rows = _table(x)
    if rows.shape[0] in (0, 1):
        raise ValueError("the variance needs at least two values per feature")
    mean = tf.reduce_mean(rows, 0)
    centred = rows - mean
    variance = tf.reduce_mean(tf.square(centred), 0)
    return _like(centred / tf.sqrt(variance + eps) * gamma + beta, x), mean, variance


def normalize_backward(grad, x, gamma, eps=1e-5):
    rows, d_y = _table(x), _table(grad)
    n = tf.cast(tf.shape(rows)[0], rows.dtype)
    centred = rows - tf.reduce_mean(rows, 0)
    std = tf.sqrt(tf.einsum("nc,nc->c", centred, centred) / n + eps)
    x_hat = centred / std
    d_x_hat = d_y * gamma
    d_variance = -0.5 * tf.einsum("nc,nc->c", d_x_hat, centred) / std**3
    d_mean = -tf.reduce_sum(d_x_hat, 0) / std
    d_x = d_x_hat / std + 2 * d_variance * centred / n + d_mean / n
    return _like(d_x, x), tf.einsum("nc,nc->c", d_y, x_hat), tf.reduce_sum(d_y, 0)


def update_running(running, batch, momentum, convention):
    match convention:
        case "torch":
            return (1 - momentum) * running + momentum * batch
        case "keras":
            return momentum * running + (1 - momentum) * batch
        case _:
            raise ValueError(convention)


class BatchNorm1d(keras.layers.Layer):
    axes = 2

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.gamma = keras.Variable(tf.ones(num_features), name="gamma")
        self.beta = keras.Variable(tf.zeros(num_features), name="beta")
        self.running_mean = keras.Variable(tf.zeros(num_features), trainable=False, name="running_mean")
        self.running_var = keras.Variable(tf.ones(num_features), trainable=False, name="running_var")

    def call(self, x, training=False):
        if len(x.shape) != self.axes:
            raise ValueError(f"{type(self).__name__} takes {self.axes} axes")
        if x.shape[-1] != self.num_features:
            raise ValueError(f"{self.num_features} features expected")
        if training:
            y, mean, _ = normalize(x, self.gamma, self.beta, self.eps)
            rows = _table(x)
            n = tf.cast(tf.shape(rows)[0], rows.dtype)
            spread = tf.reduce_sum((rows - mean) ** 2, 0) / (n - 1)
            self.running_mean.assign_sub(self.momentum * (self.running_mean - mean))
            self.running_var.assign_sub(self.momentum * (self.running_var - spread))
            return y
        rows = (_table(x) - self.running_mean) / tf.sqrt(self.running_var + self.eps)
        return _like(rows * self.gamma + self.beta, x)


class BatchNorm2d(BatchNorm1d):
    axes = 4
