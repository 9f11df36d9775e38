"""Contrastive and triplet losses, in NumPy.

Every loss is a few operations on distances. The trap is a distance of 0: its gradient is a vector divided by its
length, 0 / 0, so a length of 0 is replaced before the division. For batch-hard, a place that may not be chosen becomes
-inf before the maximum and inf before the minimum; an anchor without partners then falls below zero, where its loss is
0, and only the anchors with both partners are counted.
"""

import numpy as np


def pairwise_distances(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x[:, None] - x, axis=-1)


def contrastive_loss(a: np.ndarray, b: np.ndarray, same: np.ndarray, margin: float = 1.0) -> np.ndarray:
    _check(margin, (a, b), (a[:, 0], same))
    distance = np.linalg.norm(a - b, axis=-1)
    return np.where(same, distance, np.maximum(margin - distance, 0)) ** 2 / 2


def triplet_loss(anchor: np.ndarray, positive: np.ndarray, negative: np.ndarray, margin: float = 1.0) -> np.ndarray:
    _check(margin, (anchor, positive), (anchor, negative))
    to_positive = np.linalg.norm(anchor - positive, axis=-1)
    to_negative = np.linalg.norm(anchor - negative, axis=-1)
    return np.maximum(to_positive - to_negative + margin, 0)


def triplet_gradients(
    anchor: np.ndarray, positive: np.ndarray, negative: np.ndarray, margin: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    active = triplet_loss(anchor, positive, negative, margin)[:, None] > 0
    from_positive = active * _unit(anchor - positive)
    from_negative = active * _unit(anchor - negative)
    return from_positive - from_negative, -from_positive, from_negative


def batch_hard_loss(embeddings: np.ndarray, labels: np.ndarray, margin: float = 1.0) -> np.ndarray:
    _check(margin, (embeddings[:, 0], labels))
    distances = pairwise_distances(embeddings)
    same = labels[:, None] == labels
    friends = same & ~np.eye(len(labels), dtype=bool)
    hardest_positive = np.where(friends, distances, -np.inf).max(axis=1)
    hardest_negative = np.where(same, np.inf, distances).min(axis=1)
    losses = np.maximum(hardest_positive - hardest_negative + margin, 0)
    anchors = friends.any(axis=1) & ~same.all(axis=1)
    return losses.sum() / losses.dtype.type(max(anchors.sum(), 1))


def _unit(x: np.ndarray) -> np.ndarray:
    """Every row at length 1; a row of zeros stays."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(length > 0, length, 1)


def _check(margin: float, *pairs: tuple[np.ndarray, np.ndarray]) -> None:
    if margin < 0:
        raise ValueError(f"the margin is 0 or more, not {margin}")
    for one, other in pairs:
        if one.shape != other.shape:
            raise ValueError(f"the shapes {one.shape} and {other.shape} differ")
