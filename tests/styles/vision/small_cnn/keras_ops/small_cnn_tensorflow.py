"""The classifier in keras.ops, its cells from running sums, trained by compile and fit."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops


def adaptive_mean(features, grid):
    for axis in (1, 2):
        size = features.shape[axis]
        starts = [cell * size // grid for cell in range(grid)]
        stops = [-(-(cell + 1) * size // grid) for cell in range(grid)]
        sums = ops.cumsum(ops.pad(features, [(1, 0) if a == axis else (0, 0) for a in range(4)]), axis=axis)
        counts = np.subtract(stops, starts).reshape([-1 if a == axis else 1 for a in range(4)])
        difference = ops.take(sums, stops, axis=axis) - ops.take(sums, starts, axis=axis)
        features = difference / ops.cast(counts, features.dtype)
    return features


class SmallCNN(keras.Model):
    def __init__(self, in_channels=3, classes=10, widths=(32, 64), hidden=128, grid=4, dropout=0.2):
        if not grid > 0:
            raise ValueError("grid")
        super().__init__()
        self.grid, self.rate = grid, dropout
        self.conv1, self.conv2 = (layers.Conv2D(width, (3, 3), padding="same") for width in widths)
        self.hidden, self.head = layers.Dense(hidden), layers.Dense(classes)

    def call(self, images, training=None):
        x = images
        for conv in (self.conv1, self.conv2):
            x = tf.nn.max_pool2d(ops.relu(conv(x)), ksize=2, strides=2, padding="SAME")
        x = adaptive_mean(x, self.grid)
        x = ops.relu(self.hidden(ops.reshape(x, (-1, self.grid * self.grid * x.shape[-1]))))
        if training and self.rate:
            x = tf.nn.dropout(x, self.rate)
        return self.head(x)


def train(model, images, labels, epochs, batch_size=32, learning_rate=0.001):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss)
    history = model.fit(images, labels, batch_size, epochs, shuffle=True, verbose=0)
    return [float(value) for value in history.history["loss"]]


def accuracy(model, images, labels):
    found = model.predict(images, verbose=0).argmax(axis=-1)
    return float(np.mean(found == np.asarray(labels)))
