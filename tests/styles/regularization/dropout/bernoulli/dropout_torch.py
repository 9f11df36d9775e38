"""Coins in place of uniform numbers, torch.where in place of a product, and Welford's running moments."""

import math

import torch


def _apply(x, p, generator, training, shared=()):
    if math.isnan(p) or p < 0 or p > 1:
        raise ValueError("p must lie in [0, 1]")
    shape = [1 if axis in shared else n for axis, n in enumerate(x.shape)]
    if not training or p == 0:
        return x.clone(), torch.ones(shape, dtype=x.dtype, device=x.device)
    heads = torch.empty(shape, device=x.device).bernoulli_(1 - p, generator=generator).bool()
    scale = 1 / (1 - p) if p < 1 else 0.0
    mask = torch.zeros(shape, dtype=x.dtype, device=x.device).masked_fill_(heads, scale)
    return torch.where(heads, x * scale, torch.zeros((), dtype=x.dtype, device=x.device)), mask


def dropout(x, p, generator, training=True):
    return _apply(x, p, generator, training)


def dropout_backward(grad, mask):
    return torch.mul(mask.expand_as(grad), grad)


def spatial_dropout(x, p, generator, training=True):
    if x.dim() != 4:
        raise ValueError("images have four axes")
    return _apply(x, p, generator, training, shared=(2, 3))


def variational_dropout(x, p, generator, training=True):
    if x.dim() != 3:
        raise ValueError("sequences have three axes")
    return _apply(x, p, generator, training, shared=(1,))


@torch.no_grad()
def monte_carlo(model, x, passes):
    if passes <= 1:
        raise ValueError("at least two passes")
    mean, squares = 0, 0
    for count in range(1, passes + 1):
        prediction = model(x, training=True)
        difference = prediction - mean
        mean = mean + difference / count
        squares = squares + difference * (prediction - mean)
    return mean, (squares / (passes - 1)).sqrt()
