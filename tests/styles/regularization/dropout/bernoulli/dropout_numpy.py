"""Coins in place of uniform numbers, np.where in place of a product, and Welford's running moments."""

import numpy as np


def _shape_of_mask(x, shared):
    return tuple(1 if axis in shared else n for axis, n in enumerate(x.shape))


def _apply(x, p, generator, training, shared=()):
    if np.isnan(p) or p < 0 or p > 1:
        raise ValueError("p must lie in [0, 1]")
    shape = _shape_of_mask(x, shared)
    if not training or p == 0:
        return x.copy(), np.ones(shape, dtype=x.dtype)
    heads = generator.binomial(1, 1 - p, size=shape).astype(bool)
    mask = np.zeros(shape, dtype=x.dtype)
    if heads.any():
        mask[heads] = 1 / (1 - p)
    return np.where(heads, x * mask, 0).astype(x.dtype), mask


def dropout(x, p, generator, training=True):
    return _apply(x, p, generator, training)


def dropout_backward(grad, mask):
    return np.where(mask != 0, np.multiply(mask, grad), 0).astype(grad.dtype)


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
    mean = squares = 0
    for count in range(1, passes + 1):
        prediction = model(x, training=True)
        difference = prediction - mean
        mean = mean + difference / count
        squares = squares + difference * (prediction - mean)
    return mean, np.sqrt(squares / (passes - 1))
