"""Transfer learning with a ResNet, in PyTorch.

The backbone is torchvision's ResNet-18, or the same net under the same names, so that the published files load; the
last layer is dropped, for the new head takes its place. Frozen means two things: no gradient, and no statistics. The
second is the trap: model.train() puts every batch norm back into training mode, where it normalises by ten images and
forgets what it learnt from a million. So train() is overridden, and a pretrained backbone never leaves evaluation mode,
not even when it is unfrozen.
"""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

try:
    from torchvision.models import resnet18
except (ImportError, RuntimeError):  # absent, or built for another PyTorch: then our own, further down
    resnet18 = None

FEATURES = 512
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BasicBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        else:
            self.downsample = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        branch = F.relu(self.bn1(self.conv1(images)))
        return F.relu(self.bn2(self.conv2(branch)) + self.downsample(images))


def _without_top() -> nn.Module:
    if resnet18 is not None:
        net = resnet18(weights=None)
        net.fc = nn.Identity()
        return net
    layers = OrderedDict(
        conv1=nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        bn1=nn.BatchNorm2d(64),
        relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    channels = 64
    for stage, out in enumerate((64, 128, 256, 512), start=1):
        first = BasicBlock(channels, out, stride=1 if stage == 1 else 2)
        layers[f"layer{stage}"] = nn.Sequential(first, BasicBlock(out, out, stride=1))
        channels = out
    return nn.Sequential(layers | {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()})


def load_backbone(weights: str | Path | None = None) -> nn.Module:
    backbone = _without_top()
    if weights is None:
        return backbone
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        backbone.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
    except (RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{weights} does not hold the weights of a ResNet-18: {error}") from error
    return backbone


def preprocess(images: Tensor) -> Tensor:
    mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


class Classifier(nn.Module):
    def __init__(self, backbone: nn.Module, features: int, classes: int, pretrained: bool):
        super().__init__()
        self.backbone, self.head, self.pretrained = backbone, nn.Linear(features, classes), pretrained
        backbone.requires_grad_(not pretrained)
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))

    def train(self, mode: bool = True) -> "Classifier":
        super().train(mode)
        self.backbone.train(mode and not self.pretrained)
        return self

    def unfreeze(self) -> None:
        for module in self.backbone.modules():
            if not isinstance(module, nn.modules.batchnorm._BatchNorm):
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_()


def fit(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    rng: np.random.Generator,
    rate: float,
    backbone_rate: float | None = None,
    batch_size: int = 32,
) -> None:
    groups = [
        {"params": list(model.head.parameters()), "lr": rate},
        {"params": list(model.backbone.parameters()), "lr": rate if backbone_rate is None else backbone_rate},
    ]
    optimizer = torch.optim.Adam(groups)
    model.train()
    for _ in range(epochs):
        for indices in torch.from_numpy(rng.permutation(len(images))).split(batch_size):
            loss = F.cross_entropy(model(images[indices]), labels[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
