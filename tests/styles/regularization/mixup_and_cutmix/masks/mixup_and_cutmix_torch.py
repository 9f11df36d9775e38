"""Another style: the box as a mask of zeros and ones, and the mixed loss as one cross-entropy against soft targets."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import CrossEntropyLoss
from torch.nn.functional import one_hot


def draw(rng, batch, height, width, alpha=1.0):
    if alpha < 0:
        raise ValueError("alpha must not be negative")
    lam = 1.0
    if alpha > 0:
        lam = float(rng.beta(alpha, alpha, size=1)[0])
    order = rng.permutation(batch).tolist()
    center = [int(rng.integers(0, size)) for size in (height, width)]
    return lam, torch.tensor(order), center


def _validate(lam, *tensors):
    lengths = {t.size(0) for t in tensors}
    if len(lengths) > 1 or lam < 0 or lam > 1:
        raise ValueError(f"lam {lam}, lengths {lengths}")


def mixup(x: Tensor, order: Tensor, lam: float) -> Tensor:
    _validate(lam, x, order)
    partner = x.index_select(0, order)
    return partner + lam * (x - partner)


def cut_box(height, width, lam, center):
    size = np.array([height, width])
    side = np.floor(size * np.sqrt(1 - lam)).astype(int)
    low = np.array(center) - side // 2
    (top, left), (bottom, right) = np.clip(low, 0, size), np.clip(low + side, 0, size)
    return top, bottom, left, right


def cutmix(images: Tensor, order: Tensor, lam: float, center) -> tuple[Tensor, float]:
    _validate(lam, images, order)
    top, bottom, left, right = cut_box(*images.shape[2:], lam, center)
    keep = torch.ones(images.shape[2:], dtype=images.dtype, device=images.device)
    keep[top:bottom, left:right] = 0
    return keep * images + (1 - keep) * images.index_select(0, order), keep.double().mean().item()


def mixed_loss(logits: Tensor, labels: Tensor, order: Tensor, lam: float) -> Tensor:
    _validate(lam, logits, labels, order)
    own = one_hot(labels, logits.size(1)).to(logits.dtype)
    return CrossEntropyLoss()(logits, mixup(own, order, lam))
