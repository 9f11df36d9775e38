"""Layers as objects that remember their input on the way forward and use it on the way back."""

import numpy as np


class Dense:
    def __init__(self, parameters, name):
        self.weight, self.bias, self.name = parameters[f"{name}_weight"], parameters[f"{name}_bias"], name

    def forward(self, x):
        self.x = x
        return np.dot(x, self.weight) + self.bias

    def backward(self, upstream, found):
        found[f"{self.name}_weight"] = np.dot(self.x.T, upstream)
        found[f"{self.name}_bias"] = np.sum(upstream, axis=0)
        return np.dot(upstream, self.weight.T)


class Relu:
    def forward(self, x):
        self.on = x > 0
        return np.where(self.on, x, 0.0)

    def backward(self, upstream, found):
        return np.where(self.on, upstream, 0.0)


class LogSoftmax:
    def forward(self, x):
        x = x - np.max(x, axis=1, keepdims=True)
        self.result = x - np.log(np.sum(np.exp(x), axis=1, keepdims=True))
        return self.result

    def backward(self, upstream, found):
        return upstream - np.exp(self.result) * np.sum(upstream, axis=1, keepdims=True)


def initial_parameters(inputs, hidden, classes, rng):
    parameters = {}
    for name, rows, columns in [("hidden", inputs, hidden), ("output", hidden, classes)]:
        parameters[f"{name}_weight"] = rng.standard_normal((rows, columns)) * (2 / rows) ** 0.5
        parameters[f"{name}_bias"] = np.zeros((columns,))
    return parameters


def _run(parameters, x):
    if x.shape[1] != parameters["hidden_weight"].shape[0]:
        raise ValueError("the examples have another width than the network")
    layers = [Dense(parameters, "hidden"), Relu(), Dense(parameters, "output"), LogSoftmax()]
    values = [x]
    for layer in layers:
        values.append(layer.forward(values[-1]))
    return layers, values


def _check(labels, log_probabilities):
    rows, classes = log_probabilities.shape
    if labels.shape != (rows,) or not np.all((labels >= 0) & (labels < classes)):
        raise ValueError("the labels do not fit")


def forward(parameters, x):
    _, values = _run(parameters, x)
    return values[2], values[4]


def loss(parameters, x, labels):
    log_probabilities = forward(parameters, x)[1]
    _check(labels, log_probabilities)
    return -np.mean(np.take_along_axis(log_probabilities, labels[:, None], axis=1))


def gradients(parameters, x, labels):
    layers, values = _run(parameters, x)
    _check(labels, values[-1])
    upstream = np.zeros_like(values[-1])
    np.put_along_axis(upstream, labels[:, None], -1 / len(labels), axis=1)
    found = {}
    for layer in reversed(layers):
        upstream = layer.backward(upstream, found)
    return found


def train(parameters, x, labels, epochs, batch_size, learning_rate, rng):
    history = np.empty(epochs)
    for epoch in range(epochs):
        order = rng.permutation(len(x))
        shuffled, classes = x[order], labels[order]
        for first in range(0, len(order), batch_size):
            found = gradients(parameters, shuffled[first : first + batch_size], classes[first : first + batch_size])
            parameters.update({name: value - learning_rate * found[name] for name, value in parameters.items()})
        history[epoch] = loss(parameters, x, labels)
    return history


def predict(parameters, x):
    return np.argmax(forward(parameters, x)[1], axis=-1)
