"""The layers hold the weights, functions do the work; each layer is started as it is made."""

import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, linear


def small(layer, around=0.0):
    with torch.no_grad():
        layer.weight.copy_(around + 0.02 * torch.randn_like(layer.weight))
        if layer.bias is not None:
            layer.bias.fill_(0)
    return layer


class Network(nn.Module):
    def __init__(self, size):
        super().__init__()
        if size < 1 or size % 2 or size // 2 % 2:
            raise ValueError(f"cannot halve {size} twice")
        self.size = size

    def normed(self, norm, x):
        statistics = norm.running_mean, norm.running_var
        return batch_norm(x, *statistics, norm.weight, norm.bias, self.training, norm.momentum, norm.eps)


class Generator(Network):
    def __init__(self, latent, size, channels=3, width=64):
        super().__init__(size)
        self.dense = small(nn.Linear(latent, width * size * size // 8, bias=False))
        self.norm1, self.norm2 = (small(nn.BatchNorm2d(count), 1.0) for count in (2 * width, width))
        self.up1 = small(nn.ConvTranspose2d(2 * width, width, 4, bias=False))
        self.up2 = small(nn.ConvTranspose2d(width, channels, 4))

    def forward(self, noise):
        x = linear(noise, self.dense.weight).reshape(len(noise), -1, self.size // 4, self.size // 4)
        x = self.normed(self.norm1, x).relu()
        x = conv_transpose2d(x, self.up1.weight, stride=2)[..., 1:-1, 1:-1]
        x = self.normed(self.norm2, x).relu()
        x = conv_transpose2d(x, self.up2.weight, stride=2)[..., 1:-1, 1:-1]
        return (x + self.up2.bias[:, None, None]).tanh()


class Discriminator(Network):
    def __init__(self, size, channels=3, width=64):
        super().__init__(size)
        self.down1 = small(nn.Conv2d(channels, width, 4))
        self.down2 = small(nn.Conv2d(width, 2 * width, 4, bias=False))
        self.norm = small(nn.BatchNorm2d(2 * width), 1.0)
        self.dense = small(nn.Linear(width * size * size // 8, 1))

    def forward(self, images):
        if images.shape[2] != self.size or images.shape[3] != self.size:
            raise ValueError(f"{self.size} × {self.size} pixels, please")
        x = conv2d(images, self.down1.weight, self.down1.bias, stride=2, padding=1)
        x = torch.maximum(x, x / 5)
        x = self.normed(self.norm, conv2d(x, self.down2.weight, stride=2, padding=1))
        x = torch.maximum(x, x / 5)
        return torch.einsum("nchw,ochw->no", x, self.dense.weight.reshape(1, *x.shape[1:])) + self.dense.bias
