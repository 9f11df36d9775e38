"""Images become tables: (pixels, channels). The backward pass goes the paper's way, one intermediate after another."""

import torch
from torch import nn


def _table(x):
    rows = x if x.ndim == 2 else x.permute(0, 2, 3, 1).flatten(0, 2)
    return rows.float() if rows.dtype is torch.half else rows


def _like(rows, x):
    if x.ndim == 4:
        n, c, h, w = x.shape
        rows = rows.reshape(n, h, w, c).permute(0, 3, 1, 2)
    return rows.to(x.dtype)


def normalize(x, gamma, beta, eps=1e-5):
    rows = _table(x)
    if len(rows) <= 1:
        raise ValueError("the variance needs at least two values per feature")
    mean = rows.mean(0)
    centred = rows - mean
    variance = centred.square().mean(0)
    return _like(centred / (variance + eps).sqrt() * gamma + beta, x), mean, variance


def normalize_backward(grad, x, gamma, eps=1e-5):
    rows, d_y = _table(x), _table(grad)
    n = rows.shape[0]
    centred = rows - rows.mean(0)
    std = torch.sqrt(torch.einsum("nc,nc->c", centred, centred) / n + eps)
    x_hat = centred / std
    d_x_hat = d_y * gamma
    d_variance = -0.5 * torch.einsum("nc,nc->c", d_x_hat, centred) / std**3
    d_mean = -d_x_hat.sum(0) / std
    d_x = d_x_hat / std + 2 * d_variance * centred / n + d_mean / n
    return _like(d_x, x), torch.einsum("nc,nc->c", d_y, x_hat), d_y.sum(0)


def update_running(running, batch, momentum, convention):
    match convention:
        case "torch":
            return (1 - momentum) * running + momentum * batch
        case "keras":
            return momentum * running + (1 - momentum) * batch
        case _:
            raise ValueError(convention)


class BatchNorm1d(nn.Module):
    axes = 2

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.gamma = nn.Parameter(torch.empty(num_features))
        self.beta = nn.Parameter(torch.empty(num_features))
        self.register_buffer("running_mean", torch.empty(num_features))
        self.register_buffer("running_var", torch.empty(num_features))
        nn.init.ones_(self.gamma)
        nn.init.zeros_(self.beta)
        self.running_mean.zero_()
        self.running_var.fill_(1)

    def forward(self, x):
        if x.dim() != self.axes:
            raise ValueError(f"{type(self).__name__} takes {self.axes} axes")
        if x.size(1) != self.num_features:
            raise ValueError(f"{self.num_features} features expected")
        if self.training:
            y, mean, _ = normalize(x, self.gamma, self.beta, self.eps)
            self.running_mean.mul_(1 - self.momentum).add_(mean.detach(), alpha=self.momentum)
            self.running_var.mul_(1 - self.momentum).add_(_table(x).detach().var(0), alpha=self.momentum)
            return y
        rows = (_table(x) - self.running_mean) / (self.running_var + self.eps).sqrt()
        return _like(torch.addcmul(self.beta, rows, self.gamma), x)


class BatchNorm2d(BatchNorm1d):
    axes = 4
