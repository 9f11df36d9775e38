"""Residual blocks, in TensorFlow.

Each block is a branch and a shortcut, added. The shortcut is the images themselves, or one strided 1×1 convolution
where branch and images differ in shape. Zero in the last scale silences the branch of a fresh block, and the scale
itself still gets a gradient. The first trap is the pre-activation block: its last norm stands before a ReLU, which
passes no gradient at zero, so there the last kernel is what starts at zero. The second is padding="same", which at
stride 2 puts its zeros at the bottom and the right only: here one pixel is added on every side.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf
from tensorflow import Tensor

EXPANSION = 4


class BasicBlock(keras.layers.Layer):
    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.conv1, self.norm1 = _convolution(channels, 3, stride), keras.layers.BatchNormalization()
        self.conv2 = _convolution(channels, 3)
        self.norm2 = keras.layers.BatchNormalization(gamma_initializer="zeros")
        self.projection, self.projection_norm = _projection(in_channels, channels, stride)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        branch = tf.nn.relu(self.norm1(self.conv1(_padded(images)), training=training))
        branch = self.norm2(self.conv2(_padded(branch)), training=training)
        return tf.nn.relu(branch + _shortcut(self, images, training))


class BottleneckBlock(keras.layers.Layer):
    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        out_channels = EXPANSION * channels
        self.conv1, self.norm1 = _convolution(channels, 1), keras.layers.BatchNormalization()
        self.conv2, self.norm2 = _convolution(channels, 3, stride), keras.layers.BatchNormalization()
        self.conv3 = _convolution(out_channels, 1)
        self.norm3 = keras.layers.BatchNormalization(gamma_initializer="zeros")
        self.projection, self.projection_norm = _projection(in_channels, out_channels, stride)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        branch = tf.nn.relu(self.norm1(self.conv1(images), training=training))
        branch = tf.nn.relu(self.norm2(self.conv2(_padded(branch)), training=training))
        branch = self.norm3(self.conv3(branch), training=training)
        return tf.nn.relu(branch + _shortcut(self, images, training))


class PreActivationBlock(keras.layers.Layer):
    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.norm1, self.conv1 = keras.layers.BatchNormalization(), _convolution(channels, 3, stride)
        self.norm2, self.conv2 = keras.layers.BatchNormalization(), _convolution(channels, 3, initializer="zeros")
        self.projection, _ = _projection(in_channels, channels, stride)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        active = tf.nn.relu(self.norm1(images, training=training))
        branch = tf.nn.relu(self.norm2(self.conv1(_padded(active)), training=training))
        branch = self.conv2(_padded(branch))
        return branch + (images if self.projection is None else self.projection(active))


class ResidualNet(keras.Model):
    def __init__(self, stages: Sequence[int], in_channels: int = 1, classes: int = 10, width: int = 16):
        super().__init__()
        if not stages or min(stages) < 1:
            raise ValueError(f"stages {stages}: expected one or more, each of one block or more")
        self.stem, self.stem_norm = _convolution(width, 3), keras.layers.BatchNormalization()
        self.blocks = []
        channels = width
        for stage, count in enumerate(stages):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                self.blocks.append(BasicBlock(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.head = keras.layers.Dense(classes)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        features = tf.nn.relu(self.stem_norm(self.stem(_padded(images)), training=training))
        for block in self.blocks:
            features = block(features, training=training)
        return self.head(tf.reduce_mean(features, axis=(1, 2)))


def _convolution(channels: int, size: int, stride: int = 1, initializer: str = "glorot_uniform") -> keras.layers.Conv2D:
    """No bias: the batch norm behind it would subtract it again."""
    return keras.layers.Conv2D(channels, size, stride, use_bias=False, kernel_initializer=initializer)


def _padded(images: Tensor) -> Tensor:
    return tf.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _projection(in_channels: int, channels: int, stride: int):
    if stride == 1 and in_channels == channels:
        return None, None
    return _convolution(channels, 1, stride), keras.layers.BatchNormalization()


def _shortcut(block: BasicBlock | BottleneckBlock, images: Tensor, training: bool) -> Tensor:
    if block.projection is None:
        return images
    return block.projection_norm(block.projection(images), training=training)
