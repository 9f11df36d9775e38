"""A first network, in TensorFlow with Keras.

Layers are attributes, so that the model finds their variables. The model returns scores and no probabilities: the loss
takes the softmax itself, in a way that cannot overflow, and must be told so by from_logits=True. Dropout acts where
`training` is true. The step is written by hand, with a tape; the fit is the compiled one of Keras,
which shuffles, keeps the last, smaller batch, and weighs it by its size in the loss that it reports.
"""

import keras
import tensorflow as tf
from tensorflow import Tensor


class Network(keras.Model):
    def __init__(self, inputs: int, hidden: int, classes: int, rate: float = 0.2):
        super().__init__()
        if min(inputs, hidden, classes) < 1 or not 0 <= rate < 1:
            raise ValueError(f"there is no network of sizes {inputs}, {hidden}, {classes} with dropout {rate}")
        self.inputs_each = inputs
        self.first = keras.layers.Dense(hidden, activation="relu")
        self.second = keras.layers.Dense(hidden, activation="relu")
        self.drop = keras.layers.Dropout(rate)
        self.last = keras.layers.Dense(classes)

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        if len(features.shape) != 2 or features.shape[1] != self.inputs_each:
            raise ValueError(f"expected (batch, {self.inputs_each}), got {tuple(features.shape)}")
        hidden = self.second(self.first(features))
        return self.last(self.drop(hidden, training=training))


def train_step(model: keras.Model, optimizer: keras.optimizers.Optimizer, features: Tensor, labels: Tensor) -> float:
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply(gradients, model.trainable_variables)
    return float(loss)


def fit(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    features: Tensor,
    labels: Tensor,
    epochs: int,
    batch: int = 32,
) -> list[float]:
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model.fit(features, labels, batch, epochs, verbose=0).history["loss"]


def accuracy(model: keras.Model, features: Tensor, labels: Tensor) -> float:
    found = tf.argmax(model(features, training=False), axis=1)
    return float(tf.reduce_mean(tf.cast(found == labels, tf.float32)))
