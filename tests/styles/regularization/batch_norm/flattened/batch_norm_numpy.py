"""Images become tables: (pixels, channels). The backward pass goes the paper's way, one intermediate after another."""

import numpy as np


def _table(x):
    rows = x.reshape(-1, x.shape[-1])
    return rows.astype("float32") if rows.dtype == "float16" else rows


def _moments(rows):
    n = rows.shape[0]
    if n <= 1:
        raise ValueError("the variance needs at least two values per feature")
    mean = np.einsum("nc->c", rows) / n
    centred = rows - mean
    return mean, np.einsum("nc,nc->c", centred, centred) / n, centred


def normalize(x, gamma, beta, eps=1e-5):
    mean, variance, centred = _moments(_table(x))
    std = np.sqrt(variance + eps)
    y = np.einsum("nc,c->nc", centred, gamma / std) + beta
    return y.reshape(x.shape).astype(x.dtype), mean, variance


def normalize_backward(grad, x, gamma, eps=1e-5):
    d_y = _table(grad)
    n = d_y.shape[0]
    _, variance, centred = _moments(_table(x))
    std = np.sqrt(variance + eps)
    x_hat = centred / std
    d_beta = np.einsum("nc->c", d_y)
    d_gamma = np.einsum("nc,nc->c", d_y, x_hat)
    d_x_hat = d_y * gamma
    d_variance = np.einsum("nc,nc->c", d_x_hat, centred) * (-1 / 2) / std**3
    d_mean = -np.einsum("nc->c", d_x_hat) / std
    d_x = d_x_hat / std + 2 * d_variance * centred / n + d_mean / n
    return d_x.reshape(x.shape), d_gamma, d_beta


def update_running(running, batch, momentum, convention):
    match convention:
        case "torch":
            return (1 - momentum) * running + momentum * batch
        case "keras":
            return momentum * running + (1 - momentum) * batch
        case _:
            raise ValueError(convention)


class BatchNorm1d:
    axes = 2

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.gamma, self.running_var = np.ones((2, num_features), dtype="float32")
        self.beta, self.running_mean = np.zeros((2, num_features), dtype="float32")

    def __call__(self, x, training=False):
        if x.ndim != self.axes:
            raise ValueError(f"{type(self).__name__} takes {self.axes} axes")
        if x.shape[-1] != self.num_features:
            raise ValueError(f"{self.num_features} features expected")
        if training:
            y, mean, _ = normalize(x, self.gamma, self.beta, self.eps)
            spread = np.var(_table(x), axis=0, ddof=1)
            for running, new in ((self.running_mean, mean), (self.running_var, spread)):
                running *= 1 - self.momentum
                running += self.momentum * new
            return y
        std = np.sqrt(self.running_var + self.eps)
        return (self.gamma * x + (self.beta * std - self.gamma * self.running_mean)) / std


class BatchNorm2d(BatchNorm1d):
    axes = 4
