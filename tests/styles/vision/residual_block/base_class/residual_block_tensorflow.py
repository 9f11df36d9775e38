"""Residual blocks as subclasses that fill in the branch; layers for everything, padding and sums included."""

import keras
from keras import layers

EXPANSION = 4


def conv(channels, size, stride=1, **options):
    """A bias-free convolution behind its padding, unpadded itself."""
    return layers.Conv2D(channels, size, strides=stride, padding="valid", use_bias=False, **options)


class Residual(layers.Layer):
    def __init__(self, in_channels, out_channels, stride, **options):
        super().__init__(**options)
        self.in_channels = in_channels
        self.pad, self.relu, self.add = layers.ZeroPadding2D(1), layers.ReLU(), layers.Add()
        self.projection = self.projection_norm = None
        if in_channels != out_channels or stride != 1:
            self.projection = conv(out_channels, 1, stride)
            self.projection_norm = layers.BatchNormalization()

    def call(self, images, training=False):
        shortcut = images
        if self.projection is not None:
            shortcut = self.projection_norm(self.projection(images), training=training)
        return self.relu(self.add([shortcut, self.branch(images, training)]))


class BasicBlock(Residual):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.conv1, self.conv2 = conv(channels, 3, stride), conv(channels, 3)
        self.norm1, self.norm2 = layers.BatchNormalization(), layers.BatchNormalization(gamma_initializer="zeros")

    def branch(self, images, training):
        x = self.relu(self.norm1(self.conv1(self.pad(images)), training=training))
        return self.norm2(self.conv2(self.pad(x)), training=training)


class BottleneckBlock(Residual):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, EXPANSION * channels, stride)
        self.conv1, self.conv2, self.conv3 = conv(channels, 1), conv(channels, 3, stride), conv(EXPANSION * channels, 1)
        self.norm1, self.norm2 = layers.BatchNormalization(), layers.BatchNormalization()
        self.norm3 = layers.BatchNormalization(gamma_initializer=keras.initializers.Zeros())

    def branch(self, images, training):
        x = self.relu(self.norm1(self.conv1(images), training=training))
        x = self.relu(self.norm2(self.conv2(self.pad(x)), training=training))
        return self.norm3(self.conv3(x), training=training)


class PreActivationBlock(Residual):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.projection_norm = None
        self.norm1, self.norm2 = layers.BatchNormalization(), layers.BatchNormalization()
        self.conv1, self.conv2 = conv(channels, 3, stride), conv(channels, 3, kernel_initializer="zeros")

    def call(self, images, training=False):
        active = self.relu(self.norm1(images, training=training))
        x = self.relu(self.norm2(self.conv1(self.pad(active)), training=training))
        shortcut = images if self.projection is None else self.projection(active)
        return self.add([shortcut, self.conv2(self.pad(x))])


class ResidualNet(keras.Model):
    def __init__(self, stages, in_channels=1, classes=10, width=16):
        if not len(stages) or not all(count >= 1 for count in stages):
            raise ValueError(f"no net of {stages}")
        super().__init__()
        self.pad, self.stem, self.stem_norm = layers.ZeroPadding2D(1), conv(width, 3), layers.BatchNormalization()
        self.blocks = [BasicBlock(width, width) for _ in range(stages[0])]
        for count in stages[1:]:
            self.blocks += [BasicBlock(width, 2 * width, stride=2)]
            width *= 2
            self.blocks += [BasicBlock(width, width) for _ in range(count - 1)]
        self.average, self.head = layers.GlobalAveragePooling2D(), layers.Dense(classes)

    def call(self, images, training=None):
        x = keras.ops.relu(self.stem_norm(self.stem(self.pad(images)), training=training))
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(self.average(x))
