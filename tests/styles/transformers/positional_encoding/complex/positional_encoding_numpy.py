"""A pair of sine and cosine is one complex number on the unit circle, and a shift turns it."""

import numpy as np


def _circle(positions, width, base):
    return np.exp(1j * np.outer(positions, np.power(float(base), -np.arange(0, width, 2) / width)))


def sinusoidal(length, width, base=10_000.0):
    if length < 0 or width < 1:
        raise ValueError("no such table")
    circle = _circle(np.arange(length), width, base)
    return np.dstack([circle.imag, circle.real]).reshape(length, 2 * circle.shape[1])[:, :width].astype("float32")


def add_positions(x, table, start=0):
    stop = start + x.shape[-2]
    if not 0 <= start <= stop <= table.shape[0] or table.shape[1] != x.shape[-1]:
        raise ValueError("no such positions")
    return np.add(x, table[start:stop], dtype=x.dtype)


class LearnedPositions:
    def __init__(self, length, width):
        self.table = np.random.normal(scale=0.02, size=(length, width)).astype("float32")

    def __call__(self, x, start=0):
        return add_positions(x, self.table, start)

    def gradient(self, grad, start=0):
        summed = grad.sum(axis=tuple(range(grad.ndim - 2)), dtype="float32")
        after = len(self.table) - start - len(summed)
        return np.pad(summed, ((start, after), (0, 0)))


def shift_matrix(width, offset, base=10_000.0):
    if width < 2 or width % 2:
        raise ValueError("sines and cosines come in pairs")
    turns = _circle([offset], width, base)[0]
    pairs, blocks = np.arange(width // 2), np.zeros((width // 2, 2, width // 2, 2))
    blocks[pairs, 0, pairs, 0] = blocks[pairs, 1, pairs, 1] = turns.real
    blocks[pairs, 1, pairs, 0], blocks[pairs, 0, pairs, 1] = turns.imag, -turns.imag
    return blocks.reshape(width, width).astype("float32")


def order_gap(function, x, order):
    back = np.argsort(order)
    return float(np.max(np.abs(function(x[:, order])[:, back] - function(x))))
