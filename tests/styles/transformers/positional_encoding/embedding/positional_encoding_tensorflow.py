"""The learned table in an embedding layer, looked up by position; a cosine is a sine a quarter turn ahead."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops


def _waves(positions, width, base):
    column = np.arange(width)
    rates = np.exp(-(column - column % 2) / width * math.log(base))
    return np.sin(np.expand_dims(positions, 1) * rates + column % 2 * (math.pi / 2))


def sinusoidal(length, width, base=10_000.0):
    if length < 0 or width < 1:
        raise ValueError(f"length {length}, width {width}")
    return tf.constant(_waves(np.arange(length), width, base), tf.float32)


def _positions(x, start, length, width):
    if start < 0 or start + x.shape[-2] > length or x.shape[-1] != width:
        raise ValueError(f"{x.shape} from {start} on, but a table ({length}, {width})")
    return ops.arange(start, start + x.shape[-2])


def add_positions(x, table, start=0):
    return x + ops.cast(ops.take(table, _positions(x, start, *table.shape), axis=0), x.dtype)


class LearnedPositions(keras.layers.Layer):
    def __init__(self, length, width):
        super().__init__()
        self.sizes = length, width
        self.embedding = keras.layers.Embedding(length, width, keras.initializers.RandomNormal(stddev=0.02))

    def call(self, x, start=0):
        return x + self.embedding(_positions(x, start, *self.sizes))


def shift_matrix(width, offset, base=10_000.0):
    if width < 2 or width % 2:
        raise ValueError(f"width {width}")
    angles = offset * base ** (-np.arange(0, width, 2) / width)
    column, row = np.meshgrid(np.arange(width), np.arange(width))
    turned = np.sin(angles[column // 2] + (row % 2 == 0) * np.pi / 2 + (column % 2) * np.pi / 2)
    return tf.constant(np.where(row // 2 == column // 2, turned, 0.0), tf.float32)


def order_gap(function, x, order):
    difference = function(ops.take(x, order, axis=1)) - ops.take(function(x), order, axis=1)
    return float(ops.max(ops.absolute(difference)))
