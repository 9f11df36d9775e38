"""Layers that are built when called, the rules of start by VarianceScaling, and steps by an optimiser, not traced."""

import math

import keras
import tensorflow as tf


class DeepNet(keras.layers.Layer):
    def __init__(self, in_features, width, depth, classes, activation="sigmoid", norm=False, residual=False, gain=None):
        super().__init__()
        if activation not in ("sigmoid", "relu") or depth <= 0:
            raise ValueError("what net is that?")
        rules = {"sigmoid": 1.0, "relu": 2.0}
        scale = rules[activation] if gain is None else gain * gain
        self.residual, self.f = residual, keras.activations.get(activation)

        def dense(units, scale, bias=True):
            rule = keras.initializers.VarianceScaling(scale, mode="fan_in", distribution="uniform")
            return keras.layers.Dense(units, use_bias=bias, kernel_initializer=rule)

        self.hidden = [dense(width, scale, bias=not norm) for _ in range(depth)]
        self.norms = [keras.layers.BatchNormalization(momentum=0.9) for _ in self.hidden] if norm else []
        self.head = dense(classes, 1.0)

    def call(self, x, training=False):
        norms = self.norms or [keras.layers.Identity()] * len(self.hidden)
        for dense, norm in zip(self.hidden, norms, strict=True):
            branch = self.f(norm(dense(x), training=training))
            x = keras.ops.add(x, branch) if self.residual and dense is not self.hidden[0] else branch
        return self.head(x)


def _loss(model, x, labels):
    logits = model(x, training=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)


def gradient_norms(model, x, labels):
    kept = [tf.identity(variable.value) for variable in model.non_trainable_variables]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch([layer.kernel.value for layer in model.hidden])
        loss = _loss(model, x, labels)
    found = [tape.gradient(loss, layer.kernel.value) for layer in model.hidden]
    for variable, value in zip(model.non_trainable_variables, kept, strict=True):
        variable.assign(value)
    return [math.sqrt(tf.reduce_sum(tf.square(gradient)).numpy()) for gradient in found]


def report(norms, factor=1000.0):
    if len(norms) < 1 or factor <= 1:
        raise ValueError("nothing to report")
    for index in range(len(norms) - 1, -1, -1):
        norm, last = norms[index], norms[-1]
        if math.isnan(norm) or math.isinf(norm) or norm / factor > last:
            return "exploding", index
        if norm == 0 or norm * factor < last:
            return "vanishing", index
    return "healthy", None


def train(model, batches, learning_rate):
    optimizer, losses = keras.optimizers.SGD(learning_rate), []
    for x, labels in batches:
        with tf.GradientTape() as tape:
            loss = _loss(model, x, labels)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        losses.append(loss.numpy().item())
    return losses
