"""A convolutional GAN, in PyTorch.

The generator starts from a small image of many channels and doubles it twice; the discriminator halves it twice.
Kernel 4, stride 2 and padding 1 do both exactly. The traps: norms stand neither behind the generator's last layer nor
behind the discriminator's first, so that the two see the images as they are; the start is not PyTorch's own, and to
isinstance a transposed convolution is no nn.Conv2d; and a convolution takes an image that is a pixel too large without
a word.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STD = 0.02


class Generator(nn.Module):
    def __init__(self, latent: int, size: int, channels: int = 3, width: int = 64):
        super().__init__()
        self.first = (2 * width, _quarter(size), _quarter(size))
        self.dense = nn.Linear(latent, math.prod(self.first), bias=False)
        self.norm1 = nn.BatchNorm2d(2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.up2 = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)
        self.apply(_start)

    def forward(self, noise: Tensor) -> Tensor:
        x = self.dense(noise).unflatten(1, self.first)
        x = F.relu(self.norm1(x))
        x = F.relu(self.norm2(self.up1(x)))
        return torch.tanh(self.up2(x))


class Discriminator(nn.Module):
    def __init__(self, size: int, channels: int = 3, width: int = 64):
        super().__init__()
        self.images = (channels, size, size)
        self.down1 = nn.Conv2d(channels, width, 4, stride=2, padding=1)
        self.down2 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * width)
        self.dense = nn.Linear(2 * width * _quarter(size) ** 2, 1)
        self.apply(_start)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.images:
            raise ValueError(f"expected images of shape {self.images}, got {tuple(images.shape[1:])}")
        x = F.leaky_relu(self.down1(images), 0.2)
        x = F.leaky_relu(self.norm(self.down2(x)), 0.2)
        return self.dense(x.flatten(1))


def _quarter(size: int) -> int:
    if size < 4 or size % 4:
        raise ValueError(f"the size must be a positive multiple of four, not {size}")
    return size // 4


def _start(layer: nn.Module) -> None:
    """Every kernel around 0, every norm's scale around 1, every bias and shift at 0."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, mean=1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0, std=STD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
