"""Contrastive and triplet losses, in TensorFlow.

Every loss is a few operations on distances, so the distance decides. The trap is its root: sqrt has an infinite slope
at 0, and each row of the table lies at distance 0 from itself, so a careless root turns the whole gradient into nan.
Here the root is taken of 1 instead of 0, and 0 chosen after it: finite, forward and backward. For batch-hard, a place
that may not be chosen becomes -inf before the maximum and inf before the minimum; an anchor without partners then falls
below zero, where relu drops it, also backward.
"""

import tensorflow as tf
from tensorflow import Tensor


def pairwise_distances(x: Tensor) -> Tensor:
    return _length(x[:, None] - x)


def contrastive_loss(a: Tensor, b: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    _check(margin, (a, b), (a[:, 0], same))
    distance = _length(a - b)
    return tf.where(same, distance, tf.nn.relu(margin - distance)) ** 2 / 2


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    _check(margin, (anchor, positive), (anchor, negative))
    return tf.nn.relu(_length(anchor - positive) - _length(anchor - negative) + margin)


def triplet_gradients(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    active = tf.cast(triplet_loss(anchor, positive, negative, margin)[:, None] > 0, anchor.dtype)
    from_positive = active * _unit(anchor - positive)
    from_negative = active * _unit(anchor - negative)
    return from_positive - from_negative, -from_positive, from_negative


def batch_hard_loss(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    _check(margin, (embeddings[:, 0], labels))
    distances, infinity = pairwise_distances(embeddings), float("inf")
    same = labels[:, None] == labels
    friends = tf.linalg.set_diag(same, tf.zeros(len(labels), tf.bool))
    hardest_positive = tf.reduce_max(tf.where(friends, distances, -infinity), axis=1)
    hardest_negative = tf.reduce_min(tf.where(same, infinity, distances), axis=1)
    losses = tf.nn.relu(hardest_positive - hardest_negative + margin)
    anchors = tf.reduce_any(friends, axis=1) & ~tf.reduce_all(same, axis=1)
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(tf.cast(anchors, losses.dtype)))


def _length(x: Tensor) -> Tensor:
    squares = tf.reduce_sum(x * x, axis=-1)
    is_zero = squares == 0
    return tf.where(is_zero, 0.0, tf.sqrt(tf.where(is_zero, 1.0, squares)))


def _unit(x: Tensor) -> Tensor:
    """Every row at length 1; a row of zeros stays."""
    return tf.math.divide_no_nan(x, _length(x)[:, None])


def _check(margin: float, *pairs: tuple[Tensor, Tensor]) -> None:
    if margin < 0:
        raise ValueError(f"the margin is 0 or more, not {margin}")
    for one, other in pairs:
        if one.shape != other.shape:
            raise ValueError(f"the shapes {one.shape} and {other.shape} differ")
