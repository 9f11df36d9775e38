"""The inverted bottleneck on functions: the layers hold the weights, F runs them, products are einsums."""

import torch
import torch.nn.functional as F
from torch import nn


def squeezed_channels(in_channels, se_ratio=0.25):
    return int(in_channels * se_ratio) if in_channels * se_ratio >= 1 else 1


class SqueezeExcitation(nn.Module):
    def __init__(self, channels, squeezed):
        if squeezed < 1:
            raise ValueError("no channels")
        super().__init__()
        self.narrow, self.widen = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)

    def forward(self, images):
        x = F.adaptive_avg_pool2d(images, 1).flatten(1)
        x = F.linear(x, self.narrow.weight, self.narrow.bias)
        x = F.linear(x * torch.sigmoid(x), self.widen.weight, self.widen.bias)
        return torch.einsum("nchw,nc->nchw", images, 1 / (1 + torch.exp(-x)))


def run(x, conv, norm, **options):
    return norm(F.conv2d(x, conv.weight, **options))


class MBConv(nn.Module):
    def __init__(self, in_channels, channels, kernel_size=3, stride=1, expand_ratio=6, se_ratio=0.25):
        super().__init__()
        if not (kernel_size % 2 and expand_ratio >= 1):
            raise ValueError("an odd kernel_size and a positive expand_ratio, please")
        self.adds, self.stride = (in_channels, 1) == (channels, stride), stride
        squeezed = squeezed_channels(in_channels, se_ratio)
        self.register_module("expand", None)
        self.register_module("expand_norm", None)
        if expand_ratio != 1:
            self.expand = nn.Conv2d(in_channels, in_channels * expand_ratio, 1, bias=False)
            in_channels *= expand_ratio
            self.expand_norm = nn.BatchNorm2d(in_channels)
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, groups=in_channels, bias=False)
        self.depthwise_norm, self.project_norm = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(channels)
        self.excitation = SqueezeExcitation(in_channels, squeezed)
        self.project = nn.Conv2d(in_channels, channels, 1, bias=False)

    def forward(self, images):
        x = images if self.expand is None else F.silu(run(images, self.expand, self.expand_norm))
        padding = self.depthwise.kernel_size[0] // 2
        x = run(x, self.depthwise, self.depthwise_norm, stride=self.stride, padding=padding, groups=x.shape[1])
        x = run(self.excitation(F.silu(x)), self.project, self.project_norm)
        return x + images * self.adds if self.adds else x
