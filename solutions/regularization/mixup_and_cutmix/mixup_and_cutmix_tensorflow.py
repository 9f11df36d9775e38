"""Mixup and CutMix, in TensorFlow.

Both pair every image with another one of the batch, `tf.gather(images, order)`: mixup blends the two, CutMix pastes a
box of the partner. The labels are not averaged; the two losses are. There are two traps: a box that hangs over the edge
is cut, so the share is counted again from the pixels that stayed; and rows are axis 1, columns axis 2. A tensor cannot
be written to, so the box becomes a mask that chooses between the two images.
"""

import math

import numpy as np
import tensorflow as tf
from tensorflow import Tensor


def draw(
    rng: np.random.Generator, batch: int, height: int, width: int, alpha: float = 1.0
) -> tuple[float, Tensor, tuple[int, int]]:
    lam = rng.beta(alpha, alpha) if alpha else 1.0  # beta itself refuses a negative alpha
    order = tf.constant(rng.permutation(batch))
    return lam, order, (rng.integers(height), rng.integers(width))


def mixup(x: Tensor, order: Tensor, lam: float) -> Tensor:
    _check(x, order, lam)
    return lam * x + (1 - lam) * tf.gather(x, order)


def cut_box(height: int, width: int, lam: float, center: tuple[int, int]) -> tuple[int, int, int, int]:
    top, bottom = _interval(height, lam, center[0])
    left, right = _interval(width, lam, center[1])
    return top, bottom, left, right


def _interval(size: int, lam: float, middle: int) -> tuple[int, int]:
    side = int(size * math.sqrt(1 - lam))
    first = middle - side // 2
    return max(first, 0), min(first + side, size)


def cutmix(images: Tensor, order: Tensor, lam: float, center: tuple[int, int]) -> tuple[Tensor, float]:
    _check(images, order, lam)
    height, width = images.shape[1:3]
    top, bottom, left, right = cut_box(height, width, lam, center)
    rows, columns = tf.range(height)[:, None, None], tf.range(width)[:, None]
    in_box = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    mixed = tf.where(in_box, tf.gather(images, order), images)
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def mixed_loss(logits: Tensor, labels: Tensor, order: Tensor, lam: float) -> Tensor:
    _check(logits, order, lam)
    if len(labels) != len(logits):
        raise ValueError(f"{len(labels)} labels for {len(logits)} rows of logits")
    own = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    partners = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(labels, order), logits)
    return tf.reduce_mean(lam * own + (1 - lam) * partners)


def _check(batch: Tensor, order: Tensor, lam: float) -> None:
    if not 0 <= lam <= 1:
        raise ValueError(f"lam is a share from 0 to 1, not {lam}")
    if len(order) != len(batch):
        raise ValueError(f"the order names {len(order)} partners for a batch of {len(batch)}")
