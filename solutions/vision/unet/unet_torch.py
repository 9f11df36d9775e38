"""U-Net, in PyTorch.

Down: two convolutions, keep the result, halve. Up: double, put what was kept beside it, two convolutions. The result of
each level is kept before the halving, so that it has the size of what comes up again. The trap is a size that cannot be
halved: 13 becomes 6, and 6 becomes 12. Padding the images once, to a multiple of what all the halvings divide by,
settles every level, and the logits are cut back at the end.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoubleConv(nn.Module):
    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.norm1(self.conv1(images)))
        return F.relu(self.norm2(self.conv2(features)))


class UNet(nn.Module):
    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 16, depth: int = 3):
        super().__init__()
        if depth < 1:
            raise ValueError(f"a depth of {depth}: there is nothing to go down and up")
        widths = [width * 2**level for level in range(depth)]
        self.encoder = nn.ModuleList(map(DoubleConv, [in_channels, *widths[:-1]], widths))
        self.bottleneck = DoubleConv(widths[-1], 2 * widths[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * channels, channels, 2, stride=2) for channels in widths)
        self.decoder = nn.ModuleList(DoubleConv(2 * channels, channels) for channels in widths)
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        (height, width), multiple = images.shape[2:], 2 ** len(self.encoder)
        features = F.pad(images, (0, -width % multiple, 0, -height % multiple))
        skips = []
        for block in self.encoder:
            skips.append(block(features))
            features = F.max_pool2d(skips[-1], 2)
        features = self.bottleneck(features)
        for up, block, skip in reversed(list(zip(self.up, self.decoder, skips, strict=True))):
            features = block(torch.cat([up(features), skip], dim=1))
        return self.head(features)[:, :, :height, :width]


def dice_loss(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    inside = torch.sigmoid(logits)
    both = (inside * targets).sum(dim=(2, 3))
    total = inside.sum(dim=(2, 3)) + targets.sum(dim=(2, 3))
    return (1 - (2 * both + smooth) / (total + smooth)).mean()


def iou(logits: Tensor, targets: Tensor) -> Tensor:
    found, wanted = logits > 0, targets > 0
    both, either = (found & wanted).sum(dim=(2, 3)), (found | wanted).sum(dim=(2, 3))
    return torch.where(either > 0, both / either, 1.0)


def train(model: nn.Module, images: Tensor, targets: Tensor, steps: int, learning_rate: float = 0.01) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    model.train()
    losses = []
    for _ in range(steps):
        loss = dice_loss(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
