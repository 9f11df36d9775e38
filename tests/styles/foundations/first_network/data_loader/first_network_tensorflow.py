"""A functional Keras model in a subclass, trained by hand over a tf.data pipeline with a traced step."""

import keras
import tensorflow as tf
from tensorflow import Tensor


class Network(keras.Model):
    def __init__(self, inputs: int, hidden: int, classes: int, rate: float = 0.2):
        if inputs <= 0 or hidden <= 0 or classes <= 0 or rate < 0 or rate >= 1:
            raise ValueError("no such network")
        super().__init__()
        self.first = keras.layers.Dense(hidden)
        self.second = keras.layers.Dense(hidden)
        self.drop = keras.layers.Dropout(rate)
        self.last = keras.layers.Dense(classes)
        x = given = keras.Input((inputs,))
        for dense in (self.first, self.second):
            x = keras.layers.ReLU()(dense(x))
        self.inner = keras.Model(given, self.last(self.drop(x)))

    def call(self, features: Tensor, training: bool = False) -> Tensor:
        if features.shape.rank != 2:
            raise ValueError(f"features of rank {features.shape.rank}")
        return self.inner(features, training=training)


@tf.function(reduce_retracing=True)
def _traced_step(model, optimizer, features, labels):
    with tf.GradientTape() as tape:
        log_probabilities = tf.nn.log_softmax(model(features, training=True))
        loss = -tf.reduce_mean(tf.gather(log_probabilities, labels, axis=1, batch_dims=1))
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
    return loss


def train_step(model: keras.Model, optimizer: keras.optimizers.Optimizer, features: Tensor, labels: Tensor) -> float:
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return _traced_step(model, optimizer, features, labels).numpy().item()


def fit(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    features: Tensor,
    labels: Tensor,
    epochs: int,
    batch: int = 32,
) -> list[float]:
    samples = tf.data.Dataset.from_tensor_slices((features, labels)).shuffle(len(labels)).batch(batch)
    history = []
    for _ in range(epochs):
        mean = keras.metrics.Mean()
        for some_features, some_labels in samples:
            mean.update_state(train_step(model, optimizer, some_features, some_labels), sample_weight=len(some_labels))
        history.append(float(mean.result()))
    return history


def accuracy(model: keras.Model, features: Tensor, labels: Tensor) -> float:
    return float(tf.reduce_mean(tf.cast(tf.math.in_top_k(labels, model(features), k=1), "float32")))
