"""A traced function that returns loss and gradients, and NumPy for the rest: the weights are put aside and put back."""

import keras
import numpy as np
import tensorflow as tf


class DeepNet(keras.Model):
    GAINS = {"sigmoid": 1.0, "relu": 2.0**0.5}  # noqa: RUF012

    def __init__(self, in_features, width, depth, classes, activation="sigmoid", norm=False, residual=False, gain=None):
        super().__init__()
        if activation not in self.GAINS or depth < 1:
            raise ValueError("what net is that?")
        strength = self.GAINS[activation] if gain is None else gain
        self.nonlinearity, self.residual, self.normed = keras.layers.Activation(activation), residual, norm
        self.hidden, self.norms = [], []
        for index in range(depth):
            inputs = width if index else in_features
            start = keras.initializers.TruncatedNormal(stddev=strength / np.sqrt(inputs) / 0.8796)
            self.hidden.append(keras.layers.Dense(width, kernel_initializer=start))
            if norm:
                self.norms.append(keras.layers.BatchNormalization(momentum=0.9))
        self.head = keras.layers.Dense(classes, kernel_initializer="lecun_normal")

    def step(self, index, h, training):
        z = self.hidden[index](h)
        return self.nonlinearity(self.norms[index](z, training=training) if self.normed else z)

    def call(self, x, training=False):
        h = self.step(0, x, training)
        for index in range(1, len(self.hidden)):
            h = self.step(index, h, training) + h * float(self.residual)
        return self.head(h)


def _slopes(model, x, labels, variables):
    with tf.GradientTape() as tape:
        scores = tf.nn.log_softmax(model(x, training=True))
        loss = -tf.reduce_mean(tf.reduce_sum(scores * tf.one_hot(labels, scores.shape[1]), axis=1))
    return loss, tape.gradient(loss, variables)


def gradient_norms(model, x, labels):
    kept = [variable.numpy() for variable in model.variables]
    _, slopes = _slopes(model, x, labels, [layer.kernel for layer in model.hidden])
    for variable, value in zip(model.variables, kept, strict=True):
        variable.assign(value)
    return [float(np.linalg.norm(slope.numpy())) for slope in slopes]


def report(norms, factor=1000.0):
    if not len(norms) or not factor > 1:
        raise ValueError("nothing to report")
    norms = np.array(norms, "float64")
    with np.errstate(invalid="ignore", over="ignore"):
        vanishing = (norms == 0) | (norms < norms[-1] / factor)
        exploding = ~np.isfinite(norms) | (norms > norms[-1] * factor)
    bad = np.flatnonzero(vanishing | exploding)
    if not bad.size:
        return "healthy", None
    return ("exploding" if exploding[bad[-1]] else "vanishing"), int(bad[-1])


def train(model, batches, learning_rate):
    slopes_of = tf.function(lambda x, labels: _slopes(model, x, labels, model.trainable_variables))
    losses = []
    for x, labels in batches:
        loss, slopes = slopes_of(x, labels)
        losses.append(float(loss))
        for variable, slope in zip(model.trainable_variables, slopes, strict=True):
            variable.assign(variable - learning_rate * slope)
    return losses
