"""A pair of sine and cosine is one complex number on the unit circle, and a shift turns it."""

import keras
import tensorflow as tf


def _circle(positions, width, base):
    rates = tf.pow(tf.cast(base, tf.float64), -tf.cast(tf.range(0, width, 2), tf.float64) / width)
    angles = tf.tensordot(tf.cast(positions, tf.float64), rates, axes=0)
    return tf.exp(tf.complex(tf.zeros_like(angles), angles))


def _flat(circle):
    shape = tf.shape(circle)
    return tf.reshape(tf.stack([tf.math.imag(circle), tf.math.real(circle)], axis=-1), [shape[0], 2 * shape[1]])


def sinusoidal(length, width, base=10_000.0):
    if length < 0 or width < 1:
        raise ValueError("no such table")
    return tf.cast(_flat(_circle(tf.range(length), width, base))[:, :width], tf.float32)


def add_positions(x, table, start=0):
    time, width = x.shape[-2], x.shape[-1]
    if start < 0 or start + time > table.shape[0] or width != table.shape[1]:
        raise ValueError("no such positions")
    rows = tf.slice(table, [start, 0], [time, width])
    return tf.add(x, tf.cast(rows, x.dtype))


class LearnedPositions(keras.Layer):
    def __init__(self, length, width):
        super().__init__()
        self.weight = keras.Variable(keras.random.normal((length, width), stddev=0.02))

    def call(self, x, start=0):
        return add_positions(x, self.weight.value, start)


def shift_matrix(width, offset, base=10_000.0):
    """Every basis vector, read as complex numbers, is turned."""
    if width < 2 or width % 2:
        raise ValueError("sines and cosines come in pairs")
    basis = tf.eye(width, dtype=tf.float64)
    return tf.cast(_flat(tf.complex(basis[:, 1::2], basis[:, ::2]) * _circle([offset], width, base)), tf.float32)


def order_gap(function, x, order):
    back = tf.argsort(order)
    difference = tf.gather(function(tf.gather(x, order, axis=1)), back, axis=1) - function(x)
    return tf.norm(difference, ord=float("inf")).numpy().item()
