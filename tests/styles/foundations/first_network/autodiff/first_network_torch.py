"""A step through torch.func: gradients of a pure function of the parameters, handed to the optimiser."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.optim import Optimizer


class Network(nn.Module):
    def __init__(self, inputs: int, hidden: int, classes: int, rate: float = 0.2):
        super().__init__()
        sizes = [inputs, hidden, hidden, classes]
        if not all(size >= 1 for size in sizes):
            raise ValueError(f"sizes {sizes}")
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate {rate}")
        for name, (fan_in, fan_out) in zip(("first", "second", "last"), pairwise(sizes), strict=True):
            self.add_module(name, nn.Linear(fan_in, fan_out))
        self.drop = nn.Dropout(p=rate)

    def forward(self, features: Tensor) -> Tensor:
        match tuple(features.shape):
            case (_, width) if width == self.first.in_features:
                x = features
            case shape:
                raise ValueError(f"shape {shape}")
        for layer in (self.first, self.second):
            x = layer(x).clamp(min=0)
        return self.last(self.drop(x))


def train_step(model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor) -> float:
    def loss_of(parameters):
        scores = functional_call(model, parameters, (features,))
        right = scores.gather(1, labels[:, None])[:, 0]
        return (scores.logsumexp(dim=1) - right).mean()

    model.train()
    parameters = dict(model.named_parameters())
    gradients, loss = grad_and_value(loss_of)({name: parameter.detach() for name, parameter in parameters.items()})
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    optimizer.step()
    return loss.item()


def fit(
    model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor, epochs: int, batch: int = 32
) -> list[float]:
    count = features.shape[0]
    history = [0.0] * epochs
    for epoch in range(epochs):
        order = torch.rand(count).argsort()
        for start in range(0, count, batch):
            rows = order[start : start + batch]
            loss = train_step(model, optimizer, features.index_select(0, rows), labels.index_select(0, rows))
            history[epoch] += loss * len(rows) / count
    return history


def accuracy(model: nn.Module, features: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        scores = model.eval()(features)
    return torch.mean((torch.topk(scores, 1).indices.squeeze(1) == labels).double()).item()
