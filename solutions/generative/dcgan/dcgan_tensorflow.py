"""A convolutional GAN, in TensorFlow.

The generator starts from a small image of many channels and doubles it twice; the discriminator halves it twice. A
kernel of 4 with stride 2 and "same" padding does both exactly. The traps: norms stand neither behind the generator's
last layer nor behind the discriminator's first, so that the two see the images as they are; the start is not Keras's
own; and one initialiser used for several layers would give each of them the same numbers, so each has its own.
"""

import keras
import tensorflow as tf
from keras.initializers import RandomNormal
from keras.layers import BatchNormalization, Conv2D, Conv2DTranspose, Dense
from tensorflow import Tensor

STD = 0.02


class Generator(keras.Model):
    def __init__(self, latent: int, size: int, channels: int = 3, width: int = 64):
        super().__init__()
        self.first = (-1, _quarter(size), _quarter(size), 2 * width)
        self.dense = Dense(2 * width * _quarter(size) ** 2, use_bias=False, kernel_initializer=RandomNormal(0, STD))
        self.norm1 = BatchNormalization(gamma_initializer=RandomNormal(1, STD))
        self.up1 = Conv2DTranspose(width, **_halving(), use_bias=False)
        self.norm2 = BatchNormalization(gamma_initializer=RandomNormal(1, STD))
        self.up2 = Conv2DTranspose(channels, **_halving())

    def call(self, noise: Tensor, training: bool = False) -> Tensor:
        x = tf.reshape(self.dense(noise), self.first)
        x = tf.nn.relu(self.norm1(x, training=training))
        x = tf.nn.relu(self.norm2(self.up1(x), training=training))
        return tf.tanh(self.up2(x))


class Discriminator(keras.Model):
    def __init__(self, size: int, channels: int = 3, width: int = 64):
        super().__init__()
        self.images = (size, size, channels)
        self.flat = 2 * width * _quarter(size) ** 2
        self.down1 = Conv2D(width, **_halving())
        self.down2 = Conv2D(2 * width, **_halving(), use_bias=False)
        self.norm = BatchNormalization(gamma_initializer=RandomNormal(1, STD))
        self.dense = Dense(1, kernel_initializer=RandomNormal(0, STD))

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        if tuple(images.shape[1:]) != self.images:
            raise ValueError(f"expected images of shape {self.images}, got {tuple(images.shape[1:])}")
        x = tf.nn.leaky_relu(self.down1(images), 0.2)
        x = tf.nn.leaky_relu(self.norm(self.down2(x), training=training), 0.2)
        return self.dense(tf.reshape(x, (-1, self.flat)))


def _quarter(size: int) -> int:
    if size < 4 or size % 4:
        raise ValueError(f"the size must be a positive multiple of four, not {size}")
    return size // 4


def _halving() -> dict:
    """What makes a convolution halve an image, and a transposed one double it."""
    return {"kernel_size": 4, "strides": 2, "padding": "same", "kernel_initializer": RandomNormal(0, STD)}
