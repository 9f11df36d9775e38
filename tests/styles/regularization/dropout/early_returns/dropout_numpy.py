"""Each end of p has its own return; one function takes the mask's shape, as Keras' noise_shape does."""

import numpy as np


def with_noise_shape(x, p, generator, training, noise_shape):
    if not (p >= 0 and p <= 1):
        raise ValueError(f"{p} is no probability")
    if not training or p == 0:
        return x, np.full(noise_shape, 1, x.dtype)
    if p == 1:
        return np.zeros_like(x), np.zeros(noise_shape, x.dtype)
    keep = 1 - p
    mask = np.floor(generator.uniform(size=noise_shape) + keep)  # 1 with probability `keep`
    mask = (mask / keep).astype(x.dtype)
    return np.multiply(x, mask), mask


def dropout(x, p, generator, training=True):
    return with_noise_shape(x, p, generator, training, x.shape)


def dropout_backward(grad, mask):
    return mask * grad


def spatial_dropout(x, p, generator, training=True):
    match x.shape:
        case (n, _, _, c):
            return with_noise_shape(x, p, generator, training, (n, 1, 1, c))
    raise ValueError("not images")


def variational_dropout(x, p, generator, training=True):
    match x.shape:
        case (n, _, d):
            return with_noise_shape(x, p, generator, training, (n, 1, d))
    raise ValueError("not sequences")


def monte_carlo(model, x, passes):
    if passes < 2:
        raise ValueError("not enough passes")
    predictions = np.array([model(x, training=True) for _ in range(passes)])
    mean = np.sum(predictions, 0) / passes
    return mean, (np.sum((predictions - mean) ** 2, 0) / (passes - 1)) ** 0.5
