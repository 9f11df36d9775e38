"""Mixup and CutMix, in NumPy.

Both pair every image with another one of the batch, `images[order]`: mixup blends the two, CutMix pastes a box of the
partner. The labels are not averaged; the two losses are. There are two traps: a box that hangs over the edge is cut,
so the share is counted again from the pixels that stayed; and the box is pasted into a copy, because the caller still
holds the images.
"""

import math

import numpy as np


def draw(
    rng: np.random.Generator, batch: int, height: int, width: int, alpha: float = 1.0
) -> tuple[float, np.ndarray, tuple[int, int]]:
    lam = rng.beta(alpha, alpha) if alpha else 1.0  # beta itself refuses a negative alpha
    order = rng.permutation(batch)
    return lam, order, (rng.integers(height), rng.integers(width))


def mixup(x: np.ndarray, order: np.ndarray, lam: float) -> np.ndarray:
    _check(x, order, lam)
    return lam * x + (1 - lam) * x[order]


def cut_box(height: int, width: int, lam: float, center: tuple[int, int]) -> tuple[int, int, int, int]:
    top, bottom = _interval(height, lam, center[0])
    left, right = _interval(width, lam, center[1])
    return top, bottom, left, right


def _interval(size: int, lam: float, middle: int) -> tuple[int, int]:
    side = int(size * math.sqrt(1 - lam))
    first = middle - side // 2
    return max(first, 0), min(first + side, size)


def cutmix(images: np.ndarray, order: np.ndarray, lam: float, center: tuple[int, int]) -> tuple[np.ndarray, float]:
    _check(images, order, lam)
    height, width = images.shape[1:3]
    top, bottom, left, right = cut_box(height, width, lam, center)
    mixed = images.copy()
    mixed[:, top:bottom, left:right] = images[order, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def mixed_loss(logits: np.ndarray, labels: np.ndarray, order: np.ndarray, lam: float) -> np.ndarray:
    _check(logits, order, lam)
    if len(labels) != len(logits):
        raise ValueError(f"{len(labels)} labels for {len(logits)} rows of logits")
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    rows = np.arange(len(logits))
    return -(lam * log_p[rows, labels] + (1 - lam) * log_p[rows, labels[order]]).mean()


def _check(batch: np.ndarray, order: np.ndarray, lam: float) -> None:
    if not 0 <= lam <= 1:
        raise ValueError(f"lam is a share from 0 to 1, not {lam}")
    if len(order) != len(batch):
        raise ValueError(f"the order names {len(order)} partners for a batch of {len(batch)}")
