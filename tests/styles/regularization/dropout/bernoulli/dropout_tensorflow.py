"""Coins in place of uniform numbers, tf.where in place of a product, and Welford's running moments."""

import math

import tensorflow as tf


def _apply(x, p, generator, training, shared=()):
    if math.isnan(p) or p < 0 or p > 1:
        raise ValueError("p must lie in [0, 1]")
    shape = [1 if axis in shared else n for axis, n in enumerate(x.shape)]
    if not training or p == 0:
        return tf.identity(x), tf.ones(shape, x.dtype)
    heads = generator.binomial(shape, counts=1.0, probs=1.0 - p) == 1
    scale = tf.constant(1 / (1 - p) if p < 1 else 0, x.dtype)
    nothing = tf.zeros([], x.dtype)
    return tf.where(heads, scale * x, nothing), tf.where(heads, scale, nothing)


def dropout(x, p, generator, training=True):
    return _apply(x, p, generator, training)


def dropout_backward(grad, mask):
    return tf.where(mask == 0, tf.zeros_like(grad), tf.multiply(mask, grad))


def spatial_dropout(x, p, generator, training=True):
    if len(x.shape) != 4:
        raise ValueError("images have four axes")
    return _apply(x, p, generator, training, shared=(1, 2))


def variational_dropout(x, p, generator, training=True):
    if len(x.shape) != 3:
        raise ValueError("sequences have three axes")
    return _apply(x, p, generator, training, shared=(1,))


def monte_carlo(model, x, passes):
    if passes <= 1:
        raise ValueError("at least two passes")
    mean = squares = 0.0
    for count in range(1, passes + 1):
        prediction = model(x, training=True)
        difference = prediction - mean
        mean += difference / count
        squares += difference * (prediction - mean)
    return mean, tf.sqrt(squares / (passes - 1))
