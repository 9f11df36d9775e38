"""Residual blocks as subclasses that fill in the branch."""

from torch import nn

EXPANSION = 4


class Residual(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.relu = nn.ReLU(inplace=False)
        if in_channels == out_channels and stride == 1:
            self.projection, self.projection_norm = None, None
        else:
            self.projection = self.conv(in_channels, out_channels, 1, stride)
            self.projection_norm = nn.BatchNorm2d(out_channels)

    @staticmethod
    def conv(in_channels, channels, size, stride=1):
        layer = nn.Conv2d(in_channels, channels, size, stride=stride, padding={1: 0, 3: 1}[size], bias=False)
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        return layer

    def shortcut(self, images):
        return self.projection_norm(self.projection(images)) if self.projection else images

    def forward(self, images):
        return self.relu(self.branch(images) + self.shortcut(images))


class BasicBlock(Residual):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.conv1 = self.conv(in_channels, channels, 3, stride)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = self.conv(channels, channels, 3)
        self.norm2 = nn.BatchNorm2d(channels)
        self.norm2.weight.data.zero_()

    def branch(self, images):
        return self.norm2(self.conv2(self.relu(self.norm1(self.conv1(images)))))


class BottleneckBlock(Residual):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, EXPANSION * channels, stride)
        self.conv1 = self.conv(in_channels, channels, 1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = self.conv(channels, channels, 3, stride)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv3 = self.conv(channels, EXPANSION * channels, 1)
        self.norm3 = nn.BatchNorm2d(EXPANSION * channels)
        self.norm3.weight.data.zero_()

    def branch(self, images):
        hidden = self.relu(self.norm1(self.conv1(images)))
        return self.norm3(self.conv3(self.relu(self.norm2(self.conv2(hidden)))))


class PreActivationBlock(Residual):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.projection_norm = None
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = self.conv(in_channels, channels, 3, stride)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = self.conv(channels, channels, 3)
        self.conv2.weight.data.zero_()

    def forward(self, images):
        hidden = self.relu(self.norm1(images))
        shortcut = self.projection(hidden) if self.projection else images
        return shortcut + self.conv2(self.relu(self.norm2(self.conv1(hidden))))


class ResidualNet(nn.Module):
    def __init__(self, stages, in_channels=1, classes=10, width=16):
        super().__init__()
        if not len(stages) or not all(count >= 1 for count in stages):
            raise ValueError(f"no net of {stages}")
        self.stem = Residual.conv(in_channels, width, 3)
        self.stem_norm = nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList([BasicBlock(width, width) for _ in range(stages[0])])
        for count in stages[1:]:
            self.blocks.append(BasicBlock(width, 2 * width, stride=2))
            width *= 2
            self.blocks.extend(BasicBlock(width, width) for _ in range(count - 1))
        self.average = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        x = nn.functional.relu(self.stem_norm(self.stem(images)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.average(x).flatten(1))
