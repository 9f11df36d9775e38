"""A small convolutional classifier, in TensorFlow.

Two convolutions, each followed by a halving, and two dense layers. Between them lies the one trap: a dense layer has a
fixed number of inputs, and a reshape to (-1, that number) on images of another size does not complain, it turns one
image into several. Averaging the features into a fixed grid of cells first makes the number the same for every size. A
mean over each cell is linear, so along each axis it is one product with a matrix.
"""

import keras
import tensorflow as tf
from tensorflow import Tensor


def adaptive_mean(features: Tensor, grid: int) -> Tensor:
    height, width = features.shape[1:3]
    rows, columns = _cells(height, grid, features.dtype), _cells(width, grid, features.dtype)
    return tf.einsum("kw,ngwc->ngkc", columns, tf.einsum("gh,nhwc->ngwc", rows, features))


def _cells(size: int, grid: int, dtype: tf.DType) -> Tensor:
    """(grid, size): what each pixel adds to each cell's mean. Cells that share a pixel overlap by it."""
    cell, pixel = tf.range(grid)[:, None], tf.range(size)
    inside = tf.cast((pixel >= cell * size // grid) & (pixel * grid < (cell + 1) * size), dtype)
    return inside / tf.reduce_sum(inside, axis=1, keepdims=True)


class SmallCNN(keras.Model):
    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 10,
        widths: tuple[int, int] = (32, 64),
        hidden: int = 128,
        grid: int = 4,
        dropout: float = 0.2,
    ):
        super().__init__()
        if grid < 1:
            raise ValueError(f"a grid of {grid} cells holds nothing")
        self.grid = grid
        self.conv1 = keras.layers.Conv2D(widths[0], 3, padding="same", activation="relu")
        self.conv2 = keras.layers.Conv2D(widths[1], 3, padding="same", activation="relu")
        self.pool = keras.layers.MaxPooling2D(2, padding="same")
        self.flatten = keras.layers.Flatten()
        self.hidden = keras.layers.Dense(hidden, activation="relu")
        self.dropout = keras.layers.Dropout(dropout)
        self.head = keras.layers.Dense(classes)

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        features = self.pool(self.conv2(self.pool(self.conv1(images))))
        cells = self.flatten(adaptive_mean(features, self.grid))
        return self.head(self.dropout(self.hidden(cells), training=training))


def train(
    model: keras.Model,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    batch_size: int = 32,
    learning_rate: float = 0.001,
) -> list[float]:
    model(images[:1])  # makes the weights
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(batch: Tensor, batch_labels: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = cross_entropy(batch_labels, model(batch, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).batch(batch_size)
    return [sum(float(step(*batch)) * len(batch[1]) for batch in data) / len(images) for _ in range(epochs)]


def accuracy(model: keras.Model, images: Tensor, labels: Tensor) -> float:
    found = tf.argmax(model(images, training=False), axis=1)
    return float(tf.reduce_mean(tf.cast(found == tf.cast(labels, found.dtype), tf.float32)))
