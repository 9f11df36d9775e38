"""Residual blocks as functional models: the graph is drawn once, in the constructor."""

import keras
from keras.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    Input,
    ZeroPadding2D,
)

EXPANSION = 4


def conv3(channels, stride=1, **options):
    """A 3×3 convolution; "same" pads as asked only where the stride is one."""
    return Conv2D(channels, 3, stride, padding="same" if stride == 1 else "valid", use_bias=False, **options)


def padded(x, stride):
    return x if stride == 1 else ZeroPadding2D()(x)


def conv1(channels, stride=1):
    return Conv2D(channels, 1, stride, use_bias=False)


relu = Activation("relu")


class BasicBlock(keras.Model):
    def __init__(self, in_channels, channels, stride=1):
        first, norm1 = conv3(channels, stride), BatchNormalization()
        second, norm2 = conv3(channels), BatchNormalization(gamma_initializer="zeros")
        projection, norm = None, None
        images = Input((None, None, in_channels))
        branch = norm2(second(relu(norm1(first(padded(images, stride))))))
        shortcut = images
        if (in_channels, stride) != (channels, 1):
            projection, norm = conv1(channels, stride), BatchNormalization()
            shortcut = norm(projection(images))
        super().__init__(images, relu(branch + shortcut))
        self.conv1, self.norm1, self.conv2, self.norm2 = first, norm1, second, norm2
        self.projection, self.projection_norm = projection, norm


class BottleneckBlock(keras.Model):
    def __init__(self, in_channels, channels, stride=1):
        wide = EXPANSION * channels
        made = {
            "conv1": conv1(channels),
            "norm1": BatchNormalization(),
            "conv2": conv3(channels, stride),
            "norm2": BatchNormalization(),
            "conv3": conv1(wide),
            "norm3": BatchNormalization(gamma_initializer="zeros"),
            "projection": None,
            "projection_norm": None,
        }
        images = Input((None, None, in_channels))
        x = relu(made["norm1"](made["conv1"](images)))
        x = relu(made["norm2"](made["conv2"](padded(x, stride))))
        x = made["norm3"](made["conv3"](x))
        if (in_channels, stride) != (wide, 1):
            made |= {"projection": conv1(wide, stride), "projection_norm": BatchNormalization()}
            x = x + made["projection_norm"](made["projection"](images))
        else:
            x = x + images
        super().__init__(images, relu(x))
        for name, layer in made.items():
            setattr(self, name, layer)


class PreActivationBlock(keras.Model):
    def __init__(self, in_channels, channels, stride=1):
        norm1, first = BatchNormalization(), conv3(channels, stride)
        norm2, second = BatchNormalization(), conv3(channels, kernel_initializer="zeros")
        images = Input((None, None, in_channels))
        active = relu(norm1(images))
        branch = second(relu(norm2(first(padded(active, stride)))))
        projection = None if (in_channels, stride) == (channels, 1) else conv1(channels, stride)
        super().__init__(images, branch + (projection(active) if projection else images))
        self.norm1, self.conv1, self.norm2, self.conv2 = norm1, first, norm2, second
        self.projection = projection


class ResidualNet(keras.Model):
    def __init__(self, stages, in_channels=1, classes=10, width=16):
        if min(stages, default=0) < 1:
            raise ValueError("a net needs blocks in every stage")
        stem, stem_norm, blocks = conv3(width), BatchNormalization(), []
        images = Input((None, None, in_channels))
        x = relu(stem_norm(stem(images)))
        for stage, count in enumerate(stages):
            for index in range(count):
                blocks.append(BasicBlock(x.shape[-1], width << stage, 1 + (index == 0 < stage)))
                x = blocks[-1](x)
        head = Dense(classes)
        super().__init__(images, head(GlobalAveragePooling2D()(x)))
        self.stem, self.stem_norm, self.blocks, self.head = stem, stem_norm, blocks, head
