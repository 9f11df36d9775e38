"""U-Net by recursion: a level is its two blocks around the next level; scores from flattened pixels."""

import math

import torch
from torch import nn


class DoubleConv(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        for index, before in enumerate((in_channels, channels), start=1):
            self.add_module(f"conv{index}", nn.Conv2d(before, channels, 3, padding="same", bias=False))
            self.add_module(f"norm{index}", nn.BatchNorm2d(channels))
        self.act = nn.ReLU(inplace=True)

    def forward(self, images):
        return nn.Sequential(self.conv1, self.norm1, self.act, self.conv2, self.norm2, self.act)(images)


class UNet(nn.Module):
    def __init__(self, in_channels=1, out_channels=1, width=16, depth=3):
        if depth <= 0:
            raise ValueError("depth")
        super().__init__()
        self.depth = depth
        self.encoder, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for _ in range(depth):
            self.encoder.append(DoubleConv(in_channels, width))
            self.up.append(nn.ConvTranspose2d(width * 2, width, kernel_size=2, stride=2))
            self.decoder.append(DoubleConv(width * 2, width))
            in_channels, width = width, width * 2
        self.bottleneck = DoubleConv(in_channels, width)
        self.head = nn.Conv2d(width >> depth, out_channels, kernel_size=1)
        self.pool = nn.MaxPool2d(2)

    def run(self, images, level=0):
        if level == self.depth:
            return self.bottleneck(images)
        skip = self.encoder[level](images)
        below = self.run(self.pool(skip), level + 1)
        return self.decoder[level](torch.hstack((self.up[level](below), skip)))

    def forward(self, images):
        multiple = 2**self.depth
        size = [math.ceil(length / multiple) * multiple for length in images.shape[-2:]]
        padded = images.new_zeros(*images.shape[:2], *size)
        padded[..., : images.shape[2], : images.shape[3]] = images
        return self.head(self.run(padded))[..., : images.shape[2], : images.shape[3]]


def dice_loss(logits, targets, smooth=1.0):
    p, t = torch.sigmoid(logits).flatten(2), targets.flatten(2)
    score = (2 * torch.einsum("ncp,ncp->nc", p, t) + smooth) / ((p + t).sum(-1) + smooth)
    return 1 - score.mean()


def iou(logits, targets):
    p, t = (logits.flatten(2).sigmoid() > 0.5).float(), targets.flatten(2).float()
    either = torch.maximum(p, t).sum(-1)
    return ((p * t).sum(-1) + (either == 0)) / either.clamp(min=1)


def train(model, images, targets, steps, learning_rate=0.01):
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)

    def step():
        model.train().zero_grad()
        loss = dice_loss(model.forward(images), targets)
        loss.backward()
        optimizer.step()
        return float(loss)

    return [step() for _ in range(steps)]
