"""Positions for a network that has no sense of order, in TensorFlow.

Attention compares every token with every other, wherever they stand: without positions a sentence is a bag of words.
So something that tells the position is added to each token: waves of many lengths (Vaswani et al. 2017, section 3.5),

    table[p, 2i] = sin(p / base^(2i / width))          table[p, 2i + 1] = cos(p / base^(2i / width))

or a table that is learned like any other weight. The waves have a property worth knowing: going on by k positions is
one fixed linear map, the same from everywhere. You write it down, and you measure whether a function sees order at all.

Levels     1 table · 2 odd and far · 3 adding · 4 learned table · 5 shifts · 6 order
Check      pytest -k positional_encoding
"""

from collections.abc import Callable

import keras
from tensorflow import Tensor


def sinusoidal(length: int, width: int, base: float = 10_000.0) -> Tensor:
    """The table of sines and cosines.

    An odd width ends with a sine: its last column is sin(p / base^((width - 1) / width)), and the cosine that would
    follow is left out. Positions may be far, up to a hundred thousand: every entry must be right to 1e-6, so mind that
    float32 has seven digits, before the point and behind it together.

    Args:
        length: how many positions, counted from 0; may be 0.
        width: how many columns, one or more.
        base: the longest wave has about this length, over 2π.

    Returns:
        (length, width), float32.

    Raises:
        ValueError: the length is negative, or the width less than one.
    """
    raise NotImplementedError("sinusoidal is yours to write")


def add_positions(x: Tensor, table: Tensor, start: int = 0) -> Tensor:
    """Add to each token the row of its position.

    Args:
        x: (..., T, D), floating point: the tokens at the positions start to start + T - 1. It is not written to.
        table: (length, D), floating point.
        start: the position of the first token, for a text that is read in pieces.

    Returns:
        The sum, in the shape and dtype of x.

    Raises:
        ValueError: x and the table differ in width, start is negative, or a position lies beyond the table.
    """
    raise NotImplementedError("add_positions is yours to write")


class LearnedPositions(keras.layers.Layer):
    """A table of positions as a weight: a trainable tensor (length, width), the layer's only weight."""

    def __init__(self, length: int, width: int):
        """Draw the table from a normal distribution with mean 0 and standard deviation 0.02."""
        raise NotImplementedError("LearnedPositions.__init__ is yours to write")

    def call(self, x: Tensor, start: int = 0) -> Tensor:
        """As `add_positions`, with its own table, for float32 tokens: the errors are the same, too.

        Keras wants `start` by its name: layer(x, start=3).

        A row of the table gets the gradients of all tokens at its position, added; the other rows get zero.
        """
        raise NotImplementedError("LearnedPositions.call is yours to write")


def shift_matrix(width: int, offset: int, base: float = 10_000.0) -> Tensor:
    """The linear map that goes on by `offset` positions: table[p + offset] = table[p] @ matrix, for every position p.

    Args:
        width: of the table; even, two or more.
        offset: how many positions to go on; may be negative or zero, and as far as in `sinusoidal`.
        base: of the table.

    Returns:
        (width, width), float32.

    Raises:
        ValueError: the width is odd, or less than two. (Why is there no such matrix for an odd width?)
    """
    raise NotImplementedError("shift_matrix is yours to write")


def order_gap(function: Callable[[Tensor], Tensor], x: Tensor, order: Tensor) -> float:
    """How far a function is from treating tokens alike wherever they stand.

    A function that is blind to order does not care whether you bring the tokens into another order before it or its
    results after it. The gap is the largest absolute difference between the two; 0 for a blind function.

    Args:
        function: maps (B, T, D) to (B, T, E), a result for every token.
        x: (B, T, D).
        order: integers (T,), the places of the tokens in their new order: token i of the new order is token order[i].

    Returns:
        The gap, a Python float.
    """
    raise NotImplementedError("order_gap is yours to write")
