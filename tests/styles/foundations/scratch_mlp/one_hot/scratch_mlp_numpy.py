"""Labels become one-hot rows, sums are written by einsum, and the weights start uniform."""

import numpy as np


def initial_parameters(inputs, hidden, classes, rng):
    def uniform(rows, columns):
        bound = np.sqrt(6 / rows)  # a uniform number within ±b has the variance b² / 3
        return rng.uniform(-bound, bound, size=(rows, columns))

    return {
        "output_bias": np.zeros(classes),
        "hidden_bias": np.zeros(hidden),
        "output_weight": uniform(hidden, classes),
        "hidden_weight": uniform(inputs, hidden),
    }


def forward(parameters, x):
    before = np.einsum("ni,ih->nh", x, parameters["hidden_weight"]) + parameters["hidden_bias"]
    hidden = before * (before > 0)
    logits = np.einsum("nh,hc->nc", hidden, parameters["output_weight"]) + parameters["output_bias"]
    return hidden, logits - np.logaddexp.reduce(logits, axis=-1)[:, np.newaxis]


def _one_hot(parameters, x, labels):
    classes = np.arange(parameters["output_bias"].size)
    if labels.shape != x.shape[:1] or not np.isin(labels, classes).all():
        raise ValueError("labels must be classes, one for each example")
    return np.equal.outer(labels, classes).astype(float)


def loss(parameters, x, labels):
    target = _one_hot(parameters, x, labels)
    return -np.sum(target * forward(parameters, x)[1]) / len(x)


def gradients(parameters, x, labels):
    target = _one_hot(parameters, x, labels)
    hidden, log_probabilities = forward(parameters, x)
    error = (np.exp(log_probabilities) - target) / len(x)
    blame = np.einsum("nc,hc->nh", error, parameters["output_weight"])
    blame[hidden == 0] = 0
    return {
        "hidden_weight": np.einsum("ni,nh->ih", x, blame),
        "hidden_bias": np.einsum("nh->h", blame),
        "output_weight": np.einsum("nh,nc->hc", hidden, error),
        "output_bias": np.einsum("nc->c", error),
    }


def train(parameters, x, labels, epochs, batch_size, learning_rate, rng):
    def one_epoch():
        order = rng.permutation(len(x))
        for batch in np.split(order, np.arange(batch_size, len(x), batch_size)):
            slopes = gradients(parameters, x[batch], labels[batch])
            for name, slope in slopes.items():
                parameters[name] = parameters[name] - learning_rate * slope
        return loss(parameters, x, labels)

    return [one_epoch() for _ in range(epochs)]


def predict(parameters, x):
    hidden, _ = forward(parameters, x)
    return np.argmax(hidden @ parameters["output_weight"] + parameters["output_bias"], axis=1)
