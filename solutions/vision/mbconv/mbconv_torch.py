"""The inverted bottleneck of MobileNet and EfficientNet, in PyTorch.

A 1×1 convolution widens, a depthwise one mixes the places of each channel, the gate weighs the channels, and a 1×1
convolution narrows again. The first trap is the gate's width: a quarter of few channels, rounded down, is none, and a
gate of no channels learns nothing but its bias. The second is the end: the narrow output is where information would be
lost, so no activation follows it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def squeezed_channels(in_channels: int, se_ratio: float = 0.25) -> int:
    return max(1, int(in_channels * se_ratio))


class SqueezeExcitation(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        if squeezed < 1:
            raise ValueError(f"a gate of {squeezed} channels lets nothing through")
        self.narrow = nn.Linear(channels, squeezed)
        self.widen = nn.Linear(squeezed, channels)

    def forward(self, images: Tensor) -> Tensor:
        gate = torch.sigmoid(self.widen(F.silu(self.narrow(images.mean(dim=(2, 3))))))
        return images * gate[:, :, None, None]


class MBConv(nn.Module):
    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        expand_ratio: int = 6,
        se_ratio: float = 0.25,
    ):
        super().__init__()
        if kernel_size % 2 == 0 or expand_ratio < 1:
            raise ValueError(f"kernel size {kernel_size} must be odd, and expand ratio {expand_ratio} one at least")
        wide = in_channels * expand_ratio
        self.has_shortcut = stride == 1 and in_channels == channels
        self.expand, self.expand_norm = None, None
        if expand_ratio > 1:
            self.expand, self.expand_norm = nn.Conv2d(in_channels, wide, 1, bias=False), nn.BatchNorm2d(wide)
        self.depthwise = nn.Conv2d(wide, wide, kernel_size, stride, kernel_size // 2, groups=wide, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(wide)
        self.excitation = SqueezeExcitation(wide, squeezed_channels(in_channels, se_ratio))
        self.project, self.project_norm = nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        if self.expand is not None:
            features = F.silu(self.expand_norm(self.expand(features)))
        features = F.silu(self.depthwise_norm(self.depthwise(features)))
        features = self.project_norm(self.project(self.excitation(features)))
        return features + images if self.has_shortcut else features
