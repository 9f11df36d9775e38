"""A model that builds its own layers, with keras.ops, trained by Keras's own method for one batch."""

import keras
import numpy as np
from keras import ops
from tensorflow import Tensor


class Network(keras.Model):
    def __init__(self, inputs: int, hidden: int, classes: int, rate: float = 0.2):
        super().__init__()
        for size in (inputs, hidden, classes):
            if size < 1:
                raise ValueError(f"size {size}")
        if not 0 <= rate < 1:
            raise ValueError(f"rate {rate}")
        self.width = inputs
        self.first, self.second, self.last = map(keras.layers.Dense, (hidden, hidden, classes))
        self.drop = keras.layers.Dropout(rate)
        self.build((None, inputs))

    def build(self, shape):
        self.first.build(shape)
        self.second.build((None, self.first.units))
        self.last.build((None, self.second.units))
        self.built = True

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        if tuple(features.shape[1:]) != (self.width,):
            raise ValueError(f"features {features.shape}")
        x = ops.relu(self.first(features))
        x = ops.relu(self.second(x))
        return self.last(self.drop(x, training=training))


def _compiled(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    if getattr(model, "optimizer", None) is not optimizer:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=optimizer, loss=loss)
    return model


def train_step(model: keras.Model, optimizer: keras.optimizers.Optimizer, features: Tensor, labels: Tensor) -> float:
    _compiled(model, optimizer).reset_metrics()
    return float(model.train_on_batch(features, labels))


def fit(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    features: Tensor,
    labels: Tensor,
    epochs: int,
    batch: int = 32,
) -> list[float]:
    x, y = np.asarray(features), np.asarray(labels)
    history = []
    for _ in range(epochs):
        order = np.random.permutation(len(y))
        parts = np.split(order, range(batch, len(y), batch))
        losses = [train_step(model, optimizer, x[rows], y[rows]) for rows in parts]
        history.append(float(np.average(losses, weights=[len(rows) for rows in parts])))
    return history


def accuracy(model: keras.Model, features: Tensor, labels: Tensor) -> float:
    winners = ops.convert_to_numpy(ops.argmax(model(features, training=False), axis=-1))
    return float(np.mean(winners == np.asarray(labels)))
