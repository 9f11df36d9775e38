"""A small convolutional classifier, in PyTorch.

Two convolutions, each followed by a halving, and two dense layers. Between them lies the one trap: a dense layer has a
fixed number of inputs, and view(-1, that number) on images of another size does not complain, it turns one image into
several. Averaging the features into a fixed grid of cells first makes the number the same for every size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def adaptive_mean(features: Tensor, grid: int) -> Tensor:
    return F.adaptive_avg_pool2d(features, grid)


class SmallCNN(nn.Module):
    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 10,
        widths: tuple[int, int] = (32, 64),
        hidden: int = 128,
        grid: int = 4,
        dropout: float = 0.2,
    ):
        super().__init__()
        if grid < 1:
            raise ValueError(f"a grid of {grid} cells holds nothing")
        self.grid = grid
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 3, padding=1)
        self.hidden = nn.Linear(grid * grid * widths[1], hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = F.max_pool2d(F.relu(self.conv1(images)), 2, ceil_mode=True)
        features = F.max_pool2d(F.relu(self.conv2(features)), 2, ceil_mode=True)
        cells = adaptive_mean(features, self.grid).flatten(1)
        return self.head(self.dropout(F.relu(self.hidden(cells))))


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    batch_size: int = 32,
    learning_rate: float = 0.001,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    model.train()
    losses = []
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(images), device=images.device).split(batch_size):
            loss = F.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(images))
    return losses


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    return (model(images).argmax(dim=1) == labels).float().mean().item()
