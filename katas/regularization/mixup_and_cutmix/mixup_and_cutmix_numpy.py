"""Mixup and CutMix, in NumPy.

Both augmentations train on mixtures of two images, so that the net learns to be unsure in between. Mixup blends every
image with a partner from the batch (Zhang et al. 2018); CutMix pastes a box of the partner (Yun et al. 2019). The two
losses, not the labels, are mixed by the same share lam:

    mixup(x) = lam · x + (1 - lam) · x[order]
    loss     = lam · CE(logits, labels) + (1 - lam) · CE(logits, labels[order])

Chance comes in through `draw` alone; everything else follows from its arguments.

Levels     1 shapes · 2 draw and blend · 3 the box · 4 paste · 5 the mixed loss · 7 no loops
           (6, gradients, and 8, between two digits, need autograd)
Check      pytest -k mixup_and_cutmix
"""

import numpy as np


def draw(
    rng: np.random.Generator, batch: int, height: int, width: int, alpha: float = 1.0
) -> tuple[float, np.ndarray, tuple[int, int]]:
    """Draw all that one batch needs, from `rng` and in this order.

        1. lam       rng.beta(alpha, alpha); with alpha 0 nothing is drawn here, and lam is 1: nothing gets mixed
        2. order     rng.permutation(batch)
        3. center    rng.integers(height), then rng.integers(width)

    Returns:
        lam; the order (batch,), an integer array; the centre as (row, column).

    Raises:
        ValueError: alpha is negative.
    """
    raise NotImplementedError("draw is yours to write")


def mixup(x: np.ndarray, order: np.ndarray, lam: float) -> np.ndarray:
    """Blend every entry of the batch with its partner.

    Args:
        x: (N, ...), images or anything else, floating point. It is not written to.
        order: (N,), integer: the partner of x[i] is x[order[i]].
        lam: the share of the entry itself, the same for the whole batch.

    Returns:
        lam · x + (1 - lam) · x[order], in the dtype of x.

    Raises:
        ValueError: lam lies outside of 0 to 1, or order has not one entry per entry of x.
    """
    raise NotImplementedError("mixup is yours to write")


def cut_box(height: int, width: int, lam: float, center: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where the box of CutMix lies.

    Its height h is height · √(1 - lam), rounded down, and it begins h // 2 rows above the centre's row. Its width
    follows from the width in the same way. What hangs over an edge of the image is cut off: the box does not move.

    Args:
        height, width: of the image, in pixels.
        lam: the share of the image that should stay, from 0 to 1.
        center: (row, column), inside of the image.

    Returns:
        top, bottom, left, right: the box covers the rows top to bottom - 1 and the columns left to right - 1.
    """
    raise NotImplementedError("cut_box is yours to write")


def cutmix(images: np.ndarray, order: np.ndarray, lam: float, center: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Paste a box of its partner over every image: the box of `cut_box`, at the same place in both.

    Args:
        images: (N, H, W, C), floating point. They are not written to.
        order: (N,), integer: the partner of images[i] is images[order[i]].
        lam: the share of the image that should stay.
        center: (row, column) of the box.

    Returns:
        The mixed images, in the dtype of the images, and the share of the pixels that really stayed: the exact lam,
        to use in the loss. It is larger than the one asked for where the box was rounded down or cut off.

    Raises:
        ValueError: lam lies outside of 0 to 1, or order has not one entry per image.
    """
    raise NotImplementedError("cutmix is yours to write")


def mixed_loss(logits: np.ndarray, labels: np.ndarray, order: np.ndarray, lam: float) -> np.ndarray:
    """The cross-entropy against both labels of every mixture, each by its share, averaged over the batch.

    Args:
        logits: (N, C), of the mixed images; finite, but of any size.
        labels: (N,), integer: the classes of the images before they were mixed.
        order: (N,), integer: the one that mixed the images.
        lam: the share of labels; the partners' labels get 1 - lam.

    Returns:
        A scalar in the dtype of the logits.

    Raises:
        ValueError: lam lies outside of 0 to 1, or labels or order have not one entry per row of logits.
    """
    raise NotImplementedError("mixed_loss is yours to write")
