"""Entry by entry, as the paper states it; Python's own floats have double precision."""

import math

import numpy as np


def _turn(position, column, width, base):
    return position / math.pow(base, (column - column % 2) / width)


def sinusoidal(length, width, base=10_000.0):
    if length < 0 or width <= 0:
        raise ValueError("a table has at least one column")
    table = np.zeros((length, width), "float32")
    for column in range(width):
        wave = math.cos if column % 2 else math.sin
        for position in range(length):
            table[position, column] = wave(_turn(position, column, width, base))
    return table


def add_positions(x, table, start=0):
    time, width = x.shape[-2], x.shape[-1]
    positions = np.arange(start, start + time)
    if table.shape[-1] != width or start < 0 or (positions >= table.shape[0]).any():
        raise ValueError("the table does not hold these positions")
    result = np.array(x)
    result += np.take(table, positions, axis=0).astype(x.dtype)
    return result


class LearnedPositions:
    def __init__(self, length, width):
        self.table = np.float32(np.random.randn(length, width) * 0.02)

    def __call__(self, x, start=0):
        return add_positions(x, self.table, start=start)

    def gradient(self, grad, start=0):
        rows = np.broadcast_to(np.arange(start, start + grad.shape[-2]), grad.shape[:-1])
        result = np.zeros(self.table.shape, "float32")
        np.add.at(result, rows, grad)
        return result


def shift_matrix(width, offset, base=10_000.0):
    if width % 2 == 1 or width <= 0:
        raise ValueError("the width must be even")
    matrix = np.zeros((width, width), "float32")
    for even in range(0, width, 2):
        odd, turn = even + 1, _turn(offset, even, width, base)
        matrix[even, even] = matrix[odd, odd] = math.cos(turn)
        matrix[odd, even], matrix[even, odd] = math.sin(turn), -math.sin(turn)
    return matrix


def order_gap(function, x, order):
    here, there = function(np.take(x, order, axis=1)), np.take(function(x), order, axis=1)
    return max(abs(a - b) for a, b in zip(here.ravel().tolist(), there.ravel().tolist(), strict=True))
