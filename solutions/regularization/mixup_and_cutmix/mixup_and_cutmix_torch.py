"""Mixup and CutMix, in PyTorch.

Both pair every image with another one of the batch, `images[order]`: mixup blends the two, CutMix pastes a box of the
partner. The labels are not averaged; the two losses are. There are two traps: a box that hangs over the edge is cut,
so the share is counted again from the pixels that stayed; and the box is pasted into a copy, because the caller still
holds the images.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def draw(
    rng: np.random.Generator, batch: int, height: int, width: int, alpha: float = 1.0
) -> tuple[float, Tensor, tuple[int, int]]:
    lam = rng.beta(alpha, alpha) if alpha else 1.0  # beta itself refuses a negative alpha
    order = torch.from_numpy(rng.permutation(batch))
    return lam, order, (rng.integers(height), rng.integers(width))


def mixup(x: Tensor, order: Tensor, lam: float) -> Tensor:
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


def cutmix(images: Tensor, order: Tensor, lam: float, center: tuple[int, int]) -> tuple[Tensor, float]:
    _check(images, order, lam)
    height, width = images.shape[-2:]
    top, bottom, left, right = cut_box(height, width, lam, center)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images[order, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def mixed_loss(logits: Tensor, labels: Tensor, order: Tensor, lam: float) -> Tensor:
    _check(logits, order, lam)
    if len(labels) != len(logits):
        raise ValueError(f"{len(labels)} labels for {len(logits)} rows of logits")
    return lam * F.cross_entropy(logits, labels) + (1 - lam) * F.cross_entropy(logits, labels[order])


def _check(batch: Tensor, order: Tensor, lam: float) -> None:
    if not 0 <= lam <= 1:
        raise ValueError(f"lam is a share from 0 to 1, not {lam}")
    if len(order) != len(batch):
        raise ValueError(f"the order names {len(order)} partners for a batch of {len(batch)}")
