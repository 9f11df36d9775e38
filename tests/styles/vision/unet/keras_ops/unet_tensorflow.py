"""U-Net in keras.ops and layers, one loop for both ways, trained eagerly."""

import keras
import tensorflow as tf
from keras import layers, ops


class DoubleConv(layers.Layer):
    def __init__(self, in_channels, channels):
        super().__init__()
        options = {"kernel_size": 3, "padding": "same", "use_bias": False}
        self.conv1, self.conv2 = layers.Conv2D(channels, **options), layers.Conv2D(channels, **options)
        self.norm1, self.norm2 = layers.BatchNormalization(momentum=0.9), layers.BatchNormalization(momentum=0.9)

    def call(self, images, training=None):
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            images = ops.relu(norm(conv(images), training=training))
        return images


class UNet(keras.Model):
    def __init__(self, in_channels=1, out_channels=1, width=16, depth=3):
        if not depth >= 1:
            raise ValueError("depth")
        super().__init__()
        self.levels = range(depth)
        self.encoder = [DoubleConv(None, width << level) for level in self.levels]
        self.decoder = [DoubleConv(None, width << level) for level in self.levels]
        self.up = [layers.Conv2DTranspose(width << level, (2, 2), (2, 2)) for level in self.levels]
        self.bottleneck, self.head = DoubleConv(None, width << depth), layers.Conv2D(out_channels, 1)
        self.pool, self.join = layers.MaxPooling2D(), layers.Concatenate()

    def call(self, images, training=None):
        _, height, width, _ = images.shape
        whole = 1 << len(self.levels)
        x = ops.pad(
            images, [(0, 0), (0, (whole - height % whole) % whole), (0, (whole - width % whole) % whole), (0, 0)]
        )
        kept = {}
        for level in self.levels:
            kept[level] = self.encoder[level](x, training=training)
            x = self.pool(kept[level])
        x = self.bottleneck(x, training=training)
        for level in self.levels[::-1]:
            x = self.decoder[level](self.join([self.up[level](x), kept[level]]), training=training)
        return self.head(x[:, :height, :width, :])


def dice_loss(logits, targets, smooth=1.0):
    p = ops.sigmoid(logits)
    score = 2 * ops.einsum("nijc,nijc->nc", p, targets) + smooth
    score = score / (ops.sum(p, (1, 2)) + ops.sum(targets, (1, 2)) + smooth)
    return 1 - ops.mean(score)


def iou(logits, targets):
    found, wanted = ops.sigmoid(logits) > 0.5, ops.cast(targets, "bool")
    both = ops.count_nonzero(ops.logical_and(found, wanted), axis=(1, 2))
    either = ops.count_nonzero(ops.logical_or(found, wanted), axis=(1, 2))
    return ops.cast(ops.where(either == 0, 1, both / ops.maximum(either, 1)), "float32")


def train(model, images, targets, steps, learning_rate=0.01):
    optimizer, losses = keras.optimizers.Adam(learning_rate), []
    while len(losses) < steps:
        with tf.GradientTape() as tape:
            loss = dice_loss(model(images, training=True), targets)
        optimizer.apply(tape.gradient(loss, model.trainable_weights), model.trainable_weights)
        losses.append(loss.numpy().item())
    return losses
