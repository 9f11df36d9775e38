"""Positional encoding, in NumPy.

All angles are one outer product of positions and frequencies. Sines fill every other column of the table, cosines the
columns between, of which an odd width has one fewer. Two traps. At position 100 000 a float32 angle is off by
thousandths, so angles are float64 until their sine is taken. And a slice that runs over the table's end is silently
shorter; a single row left over would even be broadcast.
"""

from collections.abc import Callable

import numpy as np


def _frequencies(width: int, base: float) -> np.ndarray:
    return base ** -(np.arange(0, width, 2) / width)


def sinusoidal(length: int, width: int, base: float = 10_000.0) -> np.ndarray:
    if length < 0 or width < 1:
        raise ValueError(f"there is no table of {length} positions and {width} columns")
    angles = np.arange(length)[:, None] * _frequencies(width, base)
    table = np.empty((length, width), np.float32)
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : width // 2])
    return table


def add_positions(x: np.ndarray, table: np.ndarray, start: int = 0) -> np.ndarray:
    length, width = x.shape[-2:]
    if width != table.shape[1]:
        raise ValueError(f"tokens of width {width}, but a table of width {table.shape[1]}")
    if start < 0 or start + length > len(table):
        raise ValueError(f"positions {start} to {start + length - 1}, but a table of {len(table)}")
    return x + table[start : start + length].astype(x.dtype)


class LearnedPositions:
    def __init__(self, length: int, width: int):
        self.table = np.random.default_rng().normal(0, 0.02, (length, width)).astype(np.float32)

    def __call__(self, x: np.ndarray, start: int = 0) -> np.ndarray:
        return add_positions(x, self.table, start)

    def gradient(self, grad: np.ndarray, start: int = 0) -> np.ndarray:
        length, width = grad.shape[-2:]
        gradient = np.zeros_like(self.table)
        gradient[start : start + length] = grad.reshape(-1, length, width).sum(axis=0)
        return gradient


def shift_matrix(width: int, offset: int, base: float = 10_000.0) -> np.ndarray:
    if width < 2 or width % 2:
        raise ValueError(f"width {width}: only pairs of sine and cosine can be shifted")
    angles = offset * _frequencies(width, base)
    sines = np.stack([np.sin(angles), np.zeros_like(angles)], axis=-1).ravel()[:-1]
    return (np.diag(np.cos(angles).repeat(2)) + np.diag(sines, -1) - np.diag(sines, 1)).astype(np.float32)


def order_gap(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, order: np.ndarray) -> float:
    return float(np.abs(function(x[:, order]) - function(x)[:, order]).max())
