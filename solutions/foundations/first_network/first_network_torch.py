"""A first network, in PyTorch.

Layers are attributes, so that the module finds their parameters. The model returns scores and no probabilities: the
cross-entropy takes the softmax itself, in a way that cannot overflow. A step has an order that is easy to get wrong:
forget the old gradients, compute new ones, move. And a model has two modes: training switches dropout on, evaluation
off; say which one you want each time you use it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer


class Network(nn.Module):
    def __init__(self, inputs: int, hidden: int, classes: int, rate: float = 0.2):
        super().__init__()
        if min(inputs, hidden, classes) < 1 or not 0 <= rate < 1:
            raise ValueError(f"there is no network of sizes {inputs}, {hidden}, {classes} with dropout {rate}")
        self.first = nn.Linear(inputs, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.drop = nn.Dropout(rate)
        self.last = nn.Linear(hidden, classes)

    def forward(self, features: Tensor) -> Tensor:
        if features.ndim != 2 or features.shape[1] != self.first.in_features:
            raise ValueError(f"expected (batch, {self.first.in_features}), got {tuple(features.shape)}")
        hidden = F.relu(self.second(F.relu(self.first(features))))
        return self.last(self.drop(hidden))


def train_step(model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor) -> float:
    model.train()
    loss = F.cross_entropy(model(features), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def fit(
    model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor, epochs: int, batch: int = 32
) -> list[float]:
    history = []
    for _ in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(labels)).split(batch):
            total += len(chosen) * train_step(model, optimizer, features[chosen], labels[chosen])
        history.append(total / len(labels))
    return history


@torch.no_grad()
def accuracy(model: nn.Module, features: Tensor, labels: Tensor) -> float:
    model.eval()
    return (model(features).argmax(dim=1) == labels).float().mean().item()
