"""Each end of p has its own return; one function takes the mask's shape, as Keras' noise_shape does."""

import torch


def with_noise_shape(x, p, generator, training, noise_shape):
    if not (p >= 0 and p <= 1):
        raise ValueError(f"{p} is no probability")
    if not training or p == 0:
        return x, torch.ones(noise_shape, device=x.device).type_as(x)
    if p == 1:
        return x * 0, torch.zeros(noise_shape, device=x.device).type_as(x)
    keep = 1 - p
    coins = torch.bernoulli(torch.full(noise_shape, keep, device=x.device), generator=generator)
    mask = coins.type_as(x).div_(keep)
    return x.mul(mask), mask


def dropout(x, p, generator, training=True):
    return with_noise_shape(x, p, generator, training, tuple(x.size()))


def dropout_backward(grad, mask):
    return torch.einsum("...,...->...", grad, mask)


def spatial_dropout(x, p, generator, training=True):
    if x.ndim == 4:
        return with_noise_shape(x, p, generator, training, (*x.shape[:2], 1, 1))
    raise ValueError("not images")


def variational_dropout(x, p, generator, training=True):
    if x.ndim == 3:
        return with_noise_shape(x, p, generator, training, (x.shape[0], 1, x.shape[2]))
    raise ValueError("not sequences")


def monte_carlo(model, x, passes):
    if passes < 2:
        raise ValueError("not enough passes")
    spread, mean = torch.std_mean(torch.stack([model(x, training=True) for _ in range(passes)]), 0, correction=1)
    return mean, spread
