"""Residual blocks, in PyTorch.

Each block is a branch and a shortcut, added. The shortcut is the images themselves, or one strided 1×1 convolution
where branch and images differ in shape. Zero in the last scale silences the branch of a fresh block, and the scale
itself still gets a gradient. The trap is the pre-activation block: its last norm stands before a ReLU, which passes no
gradient at zero, so there the last kernel is what starts at zero.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION = 4


class BasicBlock(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.conv1, self.norm1 = _convolution(in_channels, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = _convolution(channels, channels, 3), nn.BatchNorm2d(channels)
        self.projection, self.projection_norm = _projection(in_channels, channels, stride)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, images: Tensor) -> Tensor:
        branch = F.relu(self.norm1(self.conv1(images)))
        branch = self.norm2(self.conv2(branch))
        return F.relu(branch + _shortcut(self, images))


class BottleneckBlock(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        out_channels = EXPANSION * channels
        self.conv1, self.norm1 = _convolution(in_channels, channels, 1), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = _convolution(channels, channels, 3, stride), nn.BatchNorm2d(channels)
        self.conv3, self.norm3 = _convolution(channels, out_channels, 1), nn.BatchNorm2d(out_channels)
        self.projection, self.projection_norm = _projection(in_channels, out_channels, stride)
        nn.init.zeros_(self.norm3.weight)

    def forward(self, images: Tensor) -> Tensor:
        branch = F.relu(self.norm1(self.conv1(images)))
        branch = F.relu(self.norm2(self.conv2(branch)))
        branch = self.norm3(self.conv3(branch))
        return F.relu(branch + _shortcut(self, images))


class PreActivationBlock(nn.Module):
    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(in_channels), _convolution(in_channels, channels, 3, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(channels), _convolution(channels, channels, 3)
        self.projection, _ = _projection(in_channels, channels, stride)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, images: Tensor) -> Tensor:
        active = F.relu(self.norm1(images))
        branch = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return branch + (images if self.projection is None else self.projection(active))


class ResidualNet(nn.Module):
    def __init__(self, stages: Sequence[int], in_channels: int = 1, classes: int = 10, width: int = 16):
        super().__init__()
        if not stages or min(stages) < 1:
            raise ValueError(f"stages {stages}: expected one or more, each of one block or more")
        self.stem, self.stem_norm = _convolution(in_channels, width, 3), nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList()
        channels = width
        for stage, count in enumerate(stages):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                self.blocks.append(BasicBlock(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.stem_norm(self.stem(images)))
        for block in self.blocks:
            features = block(features)
        return self.head(features.mean(dim=(2, 3)))


def _convolution(in_channels: int, channels: int, size: int, stride: int = 1) -> nn.Conv2d:
    """No bias: the batch norm behind it would subtract it again."""
    return nn.Conv2d(in_channels, channels, size, stride, padding=size // 2, bias=False)


def _projection(in_channels: int, channels: int, stride: int) -> tuple[nn.Conv2d | None, nn.BatchNorm2d | None]:
    if stride == 1 and in_channels == channels:
        return None, None
    return _convolution(in_channels, channels, 1, stride), nn.BatchNorm2d(channels)


def _shortcut(block: BasicBlock | BottleneckBlock, images: Tensor) -> Tensor:
    return images if block.projection is None else block.projection_norm(block.projection(images))
