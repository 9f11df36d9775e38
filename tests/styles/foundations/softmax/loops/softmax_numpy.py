"""One row at a time, in plain Python, as one would explain it at a whiteboard."""

import math

import numpy as np

STOPS_AT_LEVEL = 8  # it loops, and that level counts


def softmax(logits, axis=-1, temperature=1.0):
    return _each_row(lambda row: [math.exp(z) for z in _logarithms(row, temperature)], axis, logits)


def log_softmax(logits, axis=-1, temperature=1.0):
    return _each_row(lambda row: _logarithms(row, temperature), axis, logits)


def softmax_jvp(probabilities, vector, axis=-1, temperature=1.0):
    if probabilities.shape != vector.shape:
        raise ValueError("the shapes differ")
    if temperature <= 0:
        raise ValueError("the temperature must be positive")

    def one_row(p, v):
        mean = sum(pi * vi for pi, vi in zip(p, v, strict=True))
        return [pi * (vi - mean) / temperature for pi, vi in zip(p, v, strict=True)]

    return _each_row(one_row, axis, probabilities, vector)


def _logarithms(row, temperature):
    if temperature <= 0:
        raise ValueError("the temperature must be positive")
    top = max(row)
    if top == -math.inf:
        return row
    shifted = [(z - top) / temperature for z in row]
    total = math.log(math.fsum(math.exp(z) for z in shifted))
    return [z - total for z in shifted]


def _each_row(function, axis, *arrays):
    rows = [np.moveaxis(array, axis, -1) for array in arrays]
    result = np.empty_like(rows[0])
    for index in np.ndindex(*result.shape[:-1]):
        result[index] = function(*(array[index].tolist() for array in rows))
    return np.moveaxis(result, -1, axis)
