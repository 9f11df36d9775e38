"""The inverted bottleneck with 1×1 convolutions in its gate, and every layer run in one list."""

import math

import torch
from torch import nn


def squeezed_channels(in_channels, se_ratio=0.25):
    return math.floor(se_ratio * in_channels) or 1


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        if squeezed <= 0:
            raise ValueError("squeezed: at least one channel")
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.narrow, self.widen = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.silu = nn.SiLU(inplace=True)

    def forward(self, images):
        return images.mul(self.widen(self.silu(self.narrow(self.pool(images)))).sigmoid_())


class MBConv(nn.Module):
    def __init__(self, in_channels, channels, kernel_size=3, stride=1, expand_ratio=6, se_ratio=0.25):
        super().__init__()
        if expand_ratio < 1:
            raise ValueError("expand_ratio: at least one")
        if not kernel_size % 2:
            raise ValueError("kernel_size: an odd number")
        wide, border = expand_ratio * in_channels, (kernel_size - 1) // 2
        if expand_ratio == 1:
            self.expand = self.expand_norm = None
        else:
            self.expand = nn.Conv2d(in_channels, wide, (1, 1), bias=False)
            self.expand_norm = nn.BatchNorm2d(wide)
        self.depthwise = nn.Conv2d(
            wide, wide, (kernel_size, kernel_size), (stride, stride), (border, border), groups=wide, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(wide)
        self.excitation = SqueezeExcitation(wide, squeezed_channels(in_channels, se_ratio))
        self.project = nn.Conv2d(wide, channels, (1, 1), bias=False)
        self.project_norm = nn.BatchNorm2d(channels)

    def forward(self, images):
        first = [] if self.expand is None else [self.expand, self.expand_norm, nn.SiLU(inplace=True)]
        middle = [self.depthwise, self.depthwise_norm, nn.SiLU(inplace=True), self.excitation]
        result = images
        for layer in [*first, *middle, self.project, self.project_norm]:
            result = layer(result)
        return torch.add(images, result) if result.shape == images.shape else result
