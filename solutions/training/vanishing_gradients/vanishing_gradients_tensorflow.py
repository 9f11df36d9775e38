"""Where a gradient gets lost, and what brings it back, in TensorFlow.

A sigmoid's slope is a quarter at most, so each layer takes most of the gradient away. The ReLU passes it whole, if the
weights make up for the half that it cuts off; a norm sets the scale of every layer anew; a residual link lets the
gradient past the layer. The first trap is in the measuring: a forward pass in training mode moves the running
statistics, so they are put back. The second is an initialiser of Keras: used twice, it draws the same numbers twice.
"""

import math
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf
from tensorflow import Tensor

ACTIVATIONS = {"sigmoid": (tf.sigmoid, 1.0), "relu": (tf.nn.relu, math.sqrt(2))}  # and the gain each asks for


class DeepNet(keras.Model):
    def __init__(
        self,
        in_features: int,
        width: int,
        depth: int,
        classes: int,
        activation: str = "sigmoid",
        norm: bool = False,
        residual: bool = False,
        gain: float | None = None,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"the activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        if depth < 1:
            raise ValueError(f"a depth of {depth}: at least one hidden layer is needed")
        self.activation, usual_gain = ACTIVATIONS[activation]
        self.residual = residual
        gain = usual_gain if gain is None else gain
        self.hidden = [_dense(n, width, gain) for n in [in_features] + [width] * (depth - 1)]
        self.norms = [keras.layers.BatchNormalization(momentum=0.9) for _ in range(depth if norm else 0)]
        self.head = _dense(width, classes, 1.0)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        h = x
        for index, layer in enumerate(self.hidden):
            z = layer(h)
            if self.norms:
                z = self.norms[index](z, training=training)
            z = self.activation(z)
            h = h + z if self.residual and index > 0 else z
        return self.head(h)


def gradient_norms(model: DeepNet, x: Tensor, labels: Tensor) -> list[float]:
    before = model.get_weights()
    with tf.GradientTape() as tape:
        loss = _loss(model, x, labels)
    gradients = tape.gradient(loss, [layer.kernel for layer in model.hidden])
    model.set_weights(before)
    return [float(tf.norm(gradient)) for gradient in gradients]


def report(norms: Sequence[float], factor: float = 1000.0) -> tuple[str, int | None]:
    if len(norms) == 0 or not factor > 1:
        raise ValueError(f"{len(norms)} norms and a factor of {factor}: expected one or more, and a factor above 1")
    for index in reversed(range(len(norms))):
        if norms[index] == 0 or norms[index] < norms[-1] / factor:
            return "vanishing", index
        if not math.isfinite(norms[index]) or norms[index] > norms[-1] * factor:
            return "exploding", index
    return "healthy", None


def train(model: DeepNet, batches: Iterable[tuple[Tensor, Tensor]], learning_rate: float) -> list[float]:
    @tf.function(reduce_retracing=True)
    def step(x: Tensor, labels: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = _loss(model, x, labels)
        gradients = tape.gradient(loss, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(learning_rate * gradient)
        return loss

    return [float(step(x, labels)) for x, labels in batches]


def _loss(model: DeepNet, x: Tensor, labels: Tensor) -> Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(x, training=True)))


def _dense(inputs: int, outputs: int, gain: float) -> keras.layers.Dense:
    layer = keras.layers.Dense(outputs, kernel_initializer=keras.initializers.RandomNormal(stddev=gain / inputs**0.5))
    layer.build((None, inputs))
    return layer
