"""Positional encoding, in TensorFlow.

All angles are one outer product of positions and frequencies. Sine and cosine of each are stacked as the last axis and
flattened, which interleaves them, and cutting at the width serves odd ones too. Two traps. At position 100 000 a
float32 angle is off by thousandths, so angles are float64 until their sine is taken. And a slice that runs over the
table's end is silently shorter; a single row left over would even be broadcast.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow import Tensor


def _frequencies(width: int, base: float) -> Tensor:
    return base ** -(tf.range(0, width, 2, tf.float64) / width)


def sinusoidal(length: int, width: int, base: float = 10_000.0) -> Tensor:
    if length < 0 or width < 1:
        raise ValueError(f"there is no table of {length} positions and {width} columns")
    angles = tf.range(length, dtype=tf.float64)[:, None] * _frequencies(width, base)
    pairs = tf.stack([tf.sin(angles), tf.cos(angles)], axis=-1)
    return tf.cast(tf.reshape(pairs, [length, width + width % 2])[:, :width], tf.float32)


def add_positions(x: Tensor, table: Tensor, start: int = 0) -> Tensor:
    length, width = x.shape[-2:]
    if width != table.shape[1]:
        raise ValueError(f"tokens of width {width}, but a table of width {table.shape[1]}")
    if start < 0 or start + length > table.shape[0]:
        raise ValueError(f"positions {start} to {start + length - 1}, but a table of {table.shape[0]}")
    return x + tf.cast(table[start : start + length], x.dtype)


class LearnedPositions(keras.layers.Layer):
    def __init__(self, length: int, width: int):
        super().__init__()
        self.table = self.add_weight(shape=(length, width), initializer=keras.initializers.RandomNormal(stddev=0.02))

    def call(self, x: Tensor, start: int = 0) -> Tensor:
        return add_positions(x, self.table, start)


def shift_matrix(width: int, offset: int, base: float = 10_000.0) -> Tensor:
    if width < 2 or width % 2:
        raise ValueError(f"width {width}: only pairs of sine and cosine can be shifted")
    angles = offset * _frequencies(width, base)
    sines = tf.reshape(tf.stack([tf.sin(angles), tf.zeros_like(angles)], axis=-1), [-1])[:-1]
    matrix = tf.linalg.diag(tf.repeat(tf.cos(angles), 2)) + tf.linalg.diag(sines, k=-1) - tf.linalg.diag(sines, k=1)
    return tf.cast(matrix, tf.float32)


def order_gap(function: Callable[[Tensor], Tensor], x: Tensor, order: Tensor) -> float:
    first, after = function(tf.gather(x, order, axis=1)), tf.gather(function(x), order, axis=1)
    return float(tf.reduce_max(tf.abs(first - after)))
