"""The hand-written backward pass serves automatic differentiation too, through an autograd Function."""

import torch
from torch import nn


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        wide = x.float() if x.dtype is torch.float16 else x
        features = wide.transpose(0, 1).flatten(1)  # (C, values)
        mean = features.mean(1)
        variance = features.var(1, unbiased=False)
        ctx.save_for_backward(x, gamma)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        shape = [1, -1] + [1] * (x.dim() - 2)
        x_hat = (wide - mean.reshape(shape)) / (variance + eps).sqrt().reshape(shape)
        return torch.addcmul(beta.reshape(shape), gamma.reshape(shape), x_hat).type_as(x), mean, variance

    @staticmethod
    def backward(ctx, grad, _mean, _variance):
        return *normalize_backward(grad, *ctx.saved_tensors, ctx.eps), None


def normalize(x, gamma, beta, eps=1e-5):
    if x[:, 0].numel() < 2:
        raise ValueError("a single value per feature cannot be normalised")
    return _Normalize.apply(x, gamma, beta, eps)


def normalize_backward(grad, x, gamma, eps=1e-5):
    g, features = grad.transpose(0, 1).flatten(1), x.transpose(0, 1).flatten(1)
    n = features.shape[1]
    centred = features - features.mean(1, keepdim=True)
    inverse = 1 / torch.sqrt(centred.pow(2).sum(1, keepdim=True) / n + eps)
    x_hat = inverse * centred
    to_gamma, to_beta = (g * x_hat).sum(1), g.sum(1)
    to_x = gamma[:, None] * inverse / n * (n * g - to_beta[:, None] - x_hat * to_gamma[:, None])
    return to_x.unflatten(1, [x.shape[0], *x.shape[2:]]).transpose(0, 1), to_gamma, to_beta


def update_running(running, batch, momentum, convention):
    weights = {"torch": momentum, "keras": 1 - momentum}
    if convention not in weights:
        raise ValueError(f"unknown convention {convention}")
    return running + weights[convention] * (batch - running)


class _BatchNorm(nn.Module):
    def __init__(self, num_features, eps, momentum):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.gamma, self.beta = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    @torch.no_grad()
    def _track(self, mean, variance, n):
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * n / (n - 1), self.momentum)

    def _check(self, x, axes):
        if x.ndim != axes or x.shape[1] != self.gamma.numel():
            raise ValueError(f"shape {tuple(x.shape)} does not fit")

    def _run(self, x):
        if self.training:
            y, mean, variance = normalize(x, self.gamma, self.beta, self.eps)
            self._track(mean, variance, x[:, 0].numel())
            return y
        factor = self.gamma / torch.sqrt(self.running_var + self.eps)
        shift = self.beta - self.running_mean * factor
        shape = [-1] + [1] * (x.dim() - 2)
        return x * factor.view(shape) + shift.view(shape)


class BatchNorm1d(_BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)

    def forward(self, x):
        self._check(x, axes=2)
        return self._run(x)


class BatchNorm2d(_BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)

    def forward(self, x):
        self._check(x, axes=4)
        return self._run(x)
