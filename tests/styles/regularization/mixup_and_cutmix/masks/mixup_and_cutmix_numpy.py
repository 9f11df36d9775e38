"""Another style: the box as a mask of zeros and ones, and the mixed loss as one cross-entropy against soft targets."""

import numpy as np


def draw(rng, batch, height, width, alpha=1.0):
    if alpha < 0:
        raise ValueError("alpha must not be negative")
    lam = rng.beta(alpha, alpha, size=1).item() if alpha > 0 else 1
    order = np.arange(batch)[rng.permutation(batch)]
    return lam, order, np.array([rng.integers(0, size) for size in (height, width)])


def _validate(lam, *arrays):
    lengths = {array.shape[0] for array in arrays}
    if len(lengths) > 1 or lam < 0 or lam > 1:
        raise ValueError(f"lam {lam}, lengths {lengths}")


def mixup(x, order, lam):
    _validate(lam, x, order)
    partner = np.take(x, order, axis=0)
    return partner + x.dtype.type(lam) * (x - partner)


def cut_box(height, width, lam, center):
    size = np.array([height, width])
    side = np.floor(size * np.sqrt(1 - lam)).astype(int)
    low = np.array(center) - side // 2
    (top, left), (bottom, right) = np.clip(low, 0, size), np.clip(low + side, 0, size)
    return top, bottom, left, right


def cutmix(images, order, lam, center):
    _validate(lam, images, order)
    _, height, width, _ = images.shape
    top, bottom, left, right = cut_box(height, width, lam, center)
    keep = np.ones((height, width, 1), dtype=images.dtype)
    keep[top:bottom, left:right] = 0
    return keep * images + (1 - keep) * np.take(images, order, axis=0), np.count_nonzero(keep) / keep.size


def mixed_loss(logits, labels, order, lam):
    _validate(lam, logits, labels, order)
    targets = np.eye(logits.shape[1], dtype=logits.dtype)[labels]
    targets = mixup(targets, order, lam)
    highest = np.max(logits, axis=1)
    log_sum = highest + np.log(np.sum(np.exp(logits - highest[:, None]), axis=1))
    return np.mean(log_sum - np.sum(targets * logits, axis=1))
