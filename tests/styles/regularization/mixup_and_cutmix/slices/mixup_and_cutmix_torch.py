"""Another style: lerp for the blend, torch.where on ranges of rows and columns, log-probabilities picked by gather."""

from math import floor

import torch


def draw(rng, batch, height, width, alpha=1.0):
    lam = rng.beta(alpha, alpha) if alpha != 0 else 1.0
    order = torch.as_tensor(rng.permutation(batch), dtype=torch.int64)
    return lam, order, torch.tensor([rng.integers(height), rng.integers(width)])


def mixup(x, order, lam):
    _need(0 <= lam <= 1, "lam from 0 to 1")
    _need(order.shape == x.shape[:1], "one partner each")
    return torch.lerp(x[order], x, lam)


def cut_box(height, width, lam, center):
    row, column = center
    box_height, box_width = floor(height * (1 - lam) ** 0.5), floor(width * (1 - lam) ** 0.5)
    top, left = row - box_height // 2, column - box_width // 2
    bottom, right = top + box_height, left + box_width
    return max(0, top), min(height, bottom), max(0, left), min(width, right)


def cutmix(images, order, lam, center):
    _need(0 <= lam <= 1, "lam from 0 to 1")
    _need(order.shape == images.shape[:1], "one partner each")
    height, width = images.shape[2], images.shape[3]
    top, bottom, left, right = cut_box(height, width, lam, center)
    rows = torch.arange(height, device=images.device).view(-1, 1)
    columns = torch.arange(width, device=images.device).view(1, -1)
    pasted = (top <= rows) & (rows < bottom) & (left <= columns) & (columns < right)
    return torch.where(pasted, images[order], images), (~pasted).sum() / pasted.numel()


def mixed_loss(logits, labels, order, lam):
    _need(0 <= lam <= 1, "lam from 0 to 1")
    _need(len(logits) == len(labels) == len(order), "one label and one partner each")
    both = torch.stack([labels, labels[order]], dim=1)
    picked = logits.log_softmax(dim=1).gather(1, both)
    return -(picked @ picked.new_tensor([lam, 1 - lam])).mean()


def _need(holds, what):
    if not holds:
        raise ValueError(f"needed: {what}")
