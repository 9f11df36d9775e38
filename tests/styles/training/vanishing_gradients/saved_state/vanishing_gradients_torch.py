"""backward() on the model itself, with everything it touches put aside before and put back after."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn


class DeepNet(nn.Module):
    GAINS = {"sigmoid": 1.0, "relu": 2.0**0.5}  # noqa: RUF012

    def __init__(self, in_features, width, depth, classes, activation="sigmoid", norm=False, residual=False, gain=None):
        super().__init__()
        try:
            strength = self.GAINS[activation] if gain is None else gain
        except KeyError:
            raise ValueError(f"unknown activation {activation}") from None
        if depth < 1:
            raise ValueError("no layers")
        self.activation, self.residual, self.normed = activation, residual, norm
        widths = [in_features, *[width] * depth]
        self.hidden, self.norms = nn.ModuleList(), nn.ModuleList()
        for before, after in pairwise(widths):
            self.hidden.append(nn.Linear(before, after))
            if norm:
                self.norms.append(nn.BatchNorm1d(after))
        self.head = nn.Linear(width, classes)
        for layer in self.hidden:
            layer.weight.data = torch.randn(layer.weight.shape) * strength / layer.in_features**0.5
            layer.bias.data.zero_()
        self.head.weight.data = torch.randn(self.head.weight.shape) / width**0.5
        self.head.bias.data.zero_()

    def step(self, index, h):
        z = self.hidden[index](h)
        z = self.norms[index](z) if self.normed else z
        return z.sigmoid() if self.activation == "sigmoid" else z.clamp(min=0)

    def forward(self, x):
        h = self.step(0, x)
        for index in range(1, len(self.hidden)):
            h = self.step(index, h) + h * float(self.residual)
        return self.head(h)


def _backward(model, x, labels):
    scores = torch.log_softmax(model(x), dim=-1)
    loss = -scores[torch.arange(len(labels), device=labels.device), labels].mean()
    model.zero_grad(set_to_none=True)
    loss.backward()
    return loss.item()


def gradient_norms(model, x, labels):
    mode = model.training
    state = {name: value.clone() for name, value in model.state_dict().items()}
    kept = [parameter.grad for parameter in model.parameters()]
    model.train()
    _backward(model, x, labels)
    norms = [float(layer.weight.grad.square().sum().sqrt()) for layer in model.hidden]
    model.load_state_dict(state)
    model.train(mode)
    for parameter, gradient in zip(model.parameters(), kept, strict=True):
        parameter.grad = gradient
    return norms


def report(norms, factor=1000.0):
    if not len(norms) or not factor > 1:
        raise ValueError("nothing to report")
    norms = np.array(norms, "float64")
    with np.errstate(invalid="ignore", over="ignore"):
        vanishing = (norms == 0) | (norms < norms[-1] / factor)
        exploding = ~np.isfinite(norms) | (norms > norms[-1] * factor)
    bad = np.flatnonzero(vanishing | exploding)
    if not bad.size:
        return "healthy", None
    return ("exploding" if exploding[bad[-1]] else "vanishing"), int(bad[-1])


def train(model, batches, learning_rate):
    model.train()
    losses = []
    for x, labels in batches:
        losses.append(_backward(model, x, labels))
        for parameter in model.parameters():
            parameter.data -= learning_rate * parameter.grad
    return losses
