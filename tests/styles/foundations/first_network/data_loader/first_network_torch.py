"""A network whose layers lie in a Sequential, trained through a DataLoader, with log_softmax and NLL as the loss."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset


class Network(nn.Module):
    def __init__(self, inputs: int, hidden: int, classes: int, rate: float = 0.2):
        super().__init__()
        if any(size <= 0 for size in (inputs, hidden, classes)):
            raise ValueError("every size must be positive")
        if rate < 0 or rate >= 1:
            raise ValueError(f"rate {rate} is not in [0, 1)")
        self.width = inputs
        self.stack = nn.Sequential(
            OrderedDict(
                first=nn.Linear(inputs, hidden),
                relu1=nn.ReLU(),
                second=nn.Linear(hidden, hidden),
                relu2=nn.ReLU(inplace=True),
                drop=nn.Dropout(rate),
                last=nn.Linear(hidden, classes),
            )
        )

    first = property(lambda self: self.stack.first)
    second = property(lambda self: self.stack.second)
    drop = property(lambda self: self.stack.drop)
    last = property(lambda self: self.stack.last)

    def forward(self, features: Tensor) -> Tensor:
        if tuple(features.shape[1:]) != (self.width,):
            raise ValueError(f"features of shape {tuple(features.shape)} do not fit")
        return self.stack(features)


def train_step(model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor) -> float:
    model.train()
    log_probabilities = model(features).log_softmax(-1)
    loss = nn.NLLLoss()(log_probabilities, labels)
    model.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def fit(
    model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor, epochs: int, batch: int = 32
) -> list[float]:
    loader = DataLoader(TensorDataset(features, labels), batch_size=batch, shuffle=True)
    return [_epoch(model, optimizer, loader) for _ in range(epochs)]


def _epoch(model: nn.Module, optimizer: Optimizer, loader: DataLoader) -> float:
    sizes, losses = [], []
    for features, labels in loader:
        losses.append(train_step(model, optimizer, features, labels))
        sizes.append(labels.numel())
    return sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / sum(sizes)


def accuracy(model: nn.Module, features: Tensor, labels: Tensor) -> float:
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        right = torch.eq(model(features).max(dim=-1).indices, labels).sum().item()
    model.train(was_training)
    return right / len(labels)
