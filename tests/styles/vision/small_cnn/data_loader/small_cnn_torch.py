"""The classifier with cells averaged one by one, a Sequential for each half, and batches from a DataLoader."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def adaptive_mean(features, grid):
    def spans(size):
        return [slice(i * size // grid, ((i + 1) * size + grid - 1) // grid) for i in range(grid)]

    rows = [features[:, :, span].mean(dim=2, keepdim=True) for span in spans(features.shape[2])]
    rows = torch.cat(rows, dim=2)
    return torch.stack([rows[..., span].mean(dim=-1) for span in spans(rows.shape[3])], dim=-1)


class SmallCNN(nn.Module):
    def __init__(self, in_channels=3, classes=10, widths=(32, 64), hidden=128, grid=4, dropout=0.2):
        if grid <= 0:
            raise ValueError("grid")
        super().__init__()
        first, second = widths
        self.grid = grid
        self.conv1 = nn.Conv2d(in_channels, first, kernel_size=3, padding="same")
        self.conv2 = nn.Conv2d(first, second, kernel_size=3, padding="same")
        self.hidden = nn.Linear(second * grid**2, hidden)
        self.head = nn.Linear(hidden, classes)
        pool = nn.MaxPool2d(kernel_size=2, ceil_mode=True)
        self.seeing = nn.Sequential(self.conv1, pool, nn.ReLU(), self.conv2, pool, nn.ReLU(inplace=True))
        self.deciding = nn.Sequential(nn.Flatten(), self.hidden, nn.ReLU(), nn.Dropout(p=dropout), self.head)

    def forward(self, images):
        return self.deciding(adaptive_mean(self.seeing(images), self.grid))


def train(model, images, labels, epochs, batch_size=32, learning_rate=0.001):
    loader = DataLoader(TensorDataset(images, labels), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    criterion = nn.CrossEntropyLoss(reduction="sum")
    history = []
    for _ in range(epochs):
        model.train()
        seen, summed = 0, 0.0
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(x), y)
            (loss / len(y)).backward()
            optimizer.step()
            seen, summed = seen + len(y), summed + float(loss)
        history.append(summed / seen)
    return history


def accuracy(model, images, labels):
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        right = sum(
            int((model(x).argmax(-1) == y).sum()) for x, y in zip(images.split(64), labels.split(64), strict=True)
        )
    model.train(was_training)
    return right / len(labels)
