"""The inverted bottleneck of MobileNet and EfficientNet, in TensorFlow.

A 1×1 convolution widens, a depthwise one mixes the places of each channel, the gate weighs the channels, and a 1×1
convolution narrows again. The first trap is the gate's width: a quarter of few channels, rounded down, is none, and a
gate of no channels learns nothing but its bias. The second is the end: the narrow output is where information would be
lost, so no activation follows it. The third is padding="same", which at stride 2 puts more zeros behind the image than
before it: here the zeros are added by hand.
"""

import keras
import tensorflow as tf
from tensorflow import Tensor


def squeezed_channels(in_channels: int, se_ratio: float = 0.25) -> int:
    return max(1, int(in_channels * se_ratio))


class SqueezeExcitation(keras.layers.Layer):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        if squeezed < 1:
            raise ValueError(f"a gate of {squeezed} channels lets nothing through")
        self.narrow = keras.layers.Dense(squeezed, activation="silu")
        self.widen = keras.layers.Dense(channels, activation="sigmoid")

    def call(self, images: Tensor) -> Tensor:
        gate = self.widen(self.narrow(tf.reduce_mean(images, axis=(1, 2))))
        return images * gate[:, None, None, :]


class MBConv(keras.layers.Layer):
    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        expand_ratio: int = 6,
        se_ratio: float = 0.25,
    ):
        super().__init__()
        if kernel_size % 2 == 0 or expand_ratio < 1:
            raise ValueError(f"kernel size {kernel_size} must be odd, and expand ratio {expand_ratio} one at least")
        wide = in_channels * expand_ratio
        self.has_shortcut = stride == 1 and in_channels == channels
        self.expand, self.expand_norm = None, None
        if expand_ratio > 1:
            self.expand, self.expand_norm = _pointwise(wide), keras.layers.BatchNormalization()
        self.padding = keras.layers.ZeroPadding2D(kernel_size // 2)
        self.depthwise = keras.layers.DepthwiseConv2D(kernel_size, stride, use_bias=False)
        self.depthwise_norm = keras.layers.BatchNormalization()
        self.excitation = SqueezeExcitation(wide, squeezed_channels(in_channels, se_ratio))
        self.project, self.project_norm = _pointwise(channels), keras.layers.BatchNormalization()

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        features = images
        if self.expand is not None:
            features = tf.nn.silu(self.expand_norm(self.expand(features), training=training))
        features = self.depthwise(self.padding(features))
        features = self.excitation(tf.nn.silu(self.depthwise_norm(features, training=training)))
        features = self.project_norm(self.project(features), training=training)
        return features + images if self.has_shortcut else features


def _pointwise(channels: int) -> keras.layers.Conv2D:
    """No bias: the batch norm behind it would subtract it again."""
    return keras.layers.Conv2D(channels, 1, use_bias=False)
