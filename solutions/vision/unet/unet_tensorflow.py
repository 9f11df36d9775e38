"""U-Net, in TensorFlow.

Down: two convolutions, keep the result, halve. Up: double, put what was kept beside it, two convolutions. The result of
each level is kept before the halving, so that it has the size of what comes up again. The trap is a size that cannot be
halved: 13 becomes 6, and 6 becomes 12. Padding the images once, to a multiple of what all the halvings divide by,
settles every level, and the logits are cut back at the end.
"""

import keras
import tensorflow as tf
from tensorflow import Tensor


class DoubleConv(keras.layers.Layer):
    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.conv1, self.norm1 = _convolution(channels), keras.layers.BatchNormalization(momentum=0.9)
        self.conv2, self.norm2 = _convolution(channels), keras.layers.BatchNormalization(momentum=0.9)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        features = tf.nn.relu(self.norm1(self.conv1(images), training=training))
        return tf.nn.relu(self.norm2(self.conv2(features), training=training))


class UNet(keras.Model):
    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 16, depth: int = 3):
        super().__init__()
        if depth < 1:
            raise ValueError(f"a depth of {depth}: there is nothing to go down and up")
        widths = [width * 2**level for level in range(depth)]
        self.encoder = list(map(DoubleConv, [in_channels, *widths[:-1]], widths))
        self.bottleneck = DoubleConv(widths[-1], 2 * widths[-1])
        self.up = [keras.layers.Conv2DTranspose(channels, 2, strides=2) for channels in widths]
        self.decoder = [DoubleConv(2 * channels, channels) for channels in widths]
        self.head = keras.layers.Conv2D(out_channels, 1)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        (height, width), multiple = images.shape[1:3], 2 ** len(self.encoder)
        features = tf.pad(images, ((0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)))
        skips = []
        for block in self.encoder:
            skips.append(block(features, training=training))
            features = tf.nn.max_pool2d(skips[-1], 2, 2, "VALID")
        features = self.bottleneck(features, training=training)
        for up, block, skip in reversed(list(zip(self.up, self.decoder, skips, strict=True))):
            features = block(tf.concat([up(features), skip], axis=-1), training=training)
        return self.head(features)[:, :height, :width]


def dice_loss(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    inside = tf.sigmoid(logits)
    both = tf.reduce_sum(inside * targets, axis=(1, 2))
    total = tf.reduce_sum(inside + targets, axis=(1, 2))
    return tf.reduce_mean(1 - (2 * both + smooth) / (total + smooth))


def iou(logits: Tensor, targets: Tensor) -> Tensor:
    found, wanted = logits > 0, targets > 0
    both = tf.reduce_sum(tf.cast(found & wanted, tf.float32), axis=(1, 2))
    either = tf.reduce_sum(tf.cast(found | wanted, tf.float32), axis=(1, 2))
    return tf.where(either > 0, both / tf.maximum(either, 1), 1.0)


def train(model: keras.Model, images: Tensor, targets: Tensor, steps: int, learning_rate: float = 0.01) -> list[float]:
    model(images[:1])  # makes the weights
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> Tensor:
        with tf.GradientTape() as tape:
            loss = dice_loss(model(images, training=True), targets)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return [float(step()) for _ in range(steps)]


def _convolution(channels: int) -> keras.layers.Conv2D:
    """No bias: the batch norm behind it would subtract it again."""
    return keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)
