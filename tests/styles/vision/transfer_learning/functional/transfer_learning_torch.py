"""The ResNet as one module with a forward pass of functions, norms frozen by a hook, an optimiser for each part."""

import zipfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

FEATURES = 512


class Bag(nn.Module):
    """A module that only holds others."""

    def __init__(self, **children):
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)


def conv(channels, out, size):
    layer = nn.Conv2d(channels, out, size)
    layer.register_parameter("bias", None)
    return layer


class ResNet18(Bag):
    def __init__(self):
        super().__init__(conv1=conv(3, 64, 7), bn1=nn.BatchNorm2d(64))
        before = 64
        for number, out in zip("1234", (64, 128, 256, 512), strict=True):
            blocks = {}
            for index in "01":
                layers = {"conv1": conv(before, out, 3), "bn1": nn.BatchNorm2d(out)}
                layers |= {"conv2": conv(out, out, 3), "bn2": nn.BatchNorm2d(out)}
                if before < out:
                    layers["downsample"] = Bag(**{"0": conv(before, out, 1), "1": nn.BatchNorm2d(out)})
                blocks[index] = Bag(**layers)
                before = out
            self.add_module(f"layer{number}", Bag(**blocks))

    def forward(self, x):
        x = F.relu_(self.bn1(F.conv2d(x, self.conv1.weight, stride=2, padding=3)))
        x = F.max_pool2d(x, 3, 2, 1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage.children():
                down = getattr(block, "downsample", None)
                stride = 1 if down is None else 2
                y = F.conv2d(x, block.conv1.weight, stride=stride, padding=1)
                y = F.conv2d(F.relu(block.bn1(y)), block.conv2.weight, padding=1)
                if down is not None:
                    first, second = down.children()
                    x = second(F.conv2d(x, first.weight, stride=2))
                x = F.relu(torch.add(block.bn2(y), x))
        return x.mean((2, 3))


def load_backbone(weights=None):
    net = ResNet18()
    if weights is not None:
        if not Path(weights).is_file():
            raise FileNotFoundError(weights)
        if not zipfile.is_zipfile(weights):
            raise ValueError(f"{weights} is no file of torch.save")
        state = torch.load(weights, weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"{weights} holds no state_dict")
        state.pop("fc.weight", None)
        state.pop("fc.bias", None)
        own = net.state_dict()
        if own.keys() != state.keys() or any(own[name].shape != state[name].shape for name in own):
            raise ValueError(f"{weights} is not ResNet-18")
        net.load_state_dict(state)
    return net


def preprocess(images):
    red, green, blue = images.unbind(1)
    return torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], 1)


def is_norm(module):
    return "BatchNorm" in type(module).__name__


class Classifier(nn.Module):
    def __init__(self, backbone, features, classes, pretrained):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(features, classes)
        if pretrained:
            for parameter in backbone.parameters():
                parameter.requires_grad = False
            self.register_forward_pre_hook(lambda model, args: model.backbone.eval() and None)

    def forward(self, images):
        return self.head(self.backbone(images))

    def unfreeze(self):
        norms = {id(p) for module in self.backbone.modules() if is_norm(module) for p in module.parameters()}
        for parameter in self.backbone.parameters():
            parameter.requires_grad = id(parameter) not in norms


def fit(model, images, labels, epochs, rng, rate, backbone_rate=None, batch_size=32):
    optimizers = [torch.optim.Adam(model.head.parameters(), rate)]
    free = [p for p in model.backbone.parameters() if p.requires_grad]
    if free:
        optimizers.append(torch.optim.Adam(free, backbone_rate or rate))
    criterion = nn.CrossEntropyLoss()
    for _ in range(epochs):
        model.train()
        order = torch.as_tensor(rng.permutation(len(labels)))
        for start in range(0, len(labels), batch_size):
            part = order[start : start + batch_size]
            model.zero_grad()
            criterion(model(images[part]), labels[part]).backward()
            for optimizer in optimizers:
                optimizer.step()
