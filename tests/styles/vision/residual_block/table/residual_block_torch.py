"""Residual blocks from a table of their layers, run one after the other."""

import math

import torch
from torch import nn

EXPANSION = 4


class Block(nn.Module):
    """Runs the layers of `order`, adds the shortcut, and applies `after` to the sum."""

    after = staticmethod(torch.relu)

    def __init__(self, in_channels, out_channels, stride, layers):
        super().__init__()
        self.order = [name for name, _ in layers]
        self.last_norm = [name for name in self.order if name.startswith("norm")][-1]
        for name, layer in layers:
            self.add_module(name, layer)
        self.projection = self.projection_norm = None
        if stride > 1 or in_channels != out_channels:
            self.projection = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
            self.projection_norm = nn.BatchNorm2d(out_channels)

    def forward(self, images):
        x = images
        for name in self.order:
            x = self.get_submodule(name)(x)
            if name.startswith("norm") and name != self.last_norm:
                x = x.clamp(min=0)
        if self.projection is not None:
            images = self.projection_norm(self.projection(images))
        return self.after(images + x)


class BasicBlock(Block):
    def __init__(self, in_channels, channels, stride=1):
        layers = [
            ("conv1", nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)),
            ("norm1", nn.BatchNorm2d(channels)),
            ("conv2", nn.Conv2d(channels, channels, 3, padding="same", bias=False)),
            ("norm2", nn.BatchNorm2d(channels)),
        ]
        super().__init__(in_channels, channels, stride, layers)
        nn.init.constant_(self.norm2.weight, 0.0)


class BottleneckBlock(Block):
    def __init__(self, in_channels, channels, stride=1):
        wide = channels * EXPANSION
        layers = [
            ("conv1", nn.Conv2d(in_channels, channels, 1, bias=False)),
            ("norm1", nn.BatchNorm2d(channels)),
            ("conv2", nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)),
            ("norm2", nn.BatchNorm2d(channels)),
            ("conv3", nn.Conv2d(channels, wide, 1, bias=False)),
            ("norm3", nn.BatchNorm2d(wide)),
        ]
        super().__init__(in_channels, wide, stride, layers)
        nn.init.constant_(self.norm3.weight, 0.0)


class PreActivationBlock(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.norm1, self.norm2 = map(nn.BatchNorm2d, (in_channels, channels))
        self.conv1 = nn.Conv2d(in_channels, channels, (3, 3), (stride, stride), (1, 1), bias=False)
        self.conv2 = nn.Conv2d(channels, channels, (3, 3), padding=(1, 1), bias=False)
        self.conv2.weight = nn.Parameter(torch.zeros_like(self.conv2.weight))
        keeps = (in_channels, 1) == (channels, stride)
        self.projection = None if keeps else nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, images):
        x = self.norm1(images).relu_()
        shortcut = images if self.projection is None else self.projection(x)
        x = self.conv1(x)
        x = self.conv2(self.norm2(x).relu_())
        return x.add_(shortcut)


class ResidualNet(nn.Module):
    def __init__(self, stages, in_channels=1, classes=10, width=16):
        super().__init__()
        if len(stages) == 0 or any(count <= 0 for count in stages):
            raise ValueError("every stage needs a block")
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        plan = [(width * 2**s, 2 if s and not b else 1) for s, count in enumerate(stages) for b in range(count)]
        before = [width, *(channels for channels, _ in plan)]
        blocks = [BasicBlock(i, channels, stride) for i, (channels, stride) in zip(before, plan, strict=False)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(plan[-1][0], classes)

    def forward(self, images):
        x = self.blocks(torch.relu(self.stem_norm(self.stem(images))))
        return self.head(x.sum(dim=(-2, -1)) / math.prod(x.shape[-2:]))
