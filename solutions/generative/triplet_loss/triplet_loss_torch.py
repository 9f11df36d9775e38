"""Contrastive and triplet losses, in PyTorch.

Every loss is a few operations on distances, so the distance decides. The trap is its root: sqrt has an infinite slope
at 0, and each row of the table lies at distance 0 from itself, so a careless root turns the whole gradient into nan.
`vector_norm` takes the slope 0 there. For batch-hard, a place that may not be chosen becomes -inf before the maximum
and inf before the minimum; an anchor without partners then falls below zero, where relu drops it, also backward.
"""

import torch
from torch import Tensor


def pairwise_distances(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x[:, None] - x, dim=-1)


def contrastive_loss(a: Tensor, b: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    _check(margin, (a, b), (a[:, 0], same))
    distance = torch.linalg.vector_norm(a - b, dim=-1)
    return torch.where(same, distance, torch.relu(margin - distance)) ** 2 / 2


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    _check(margin, (anchor, positive), (anchor, negative))
    to_positive = torch.linalg.vector_norm(anchor - positive, dim=-1)
    to_negative = torch.linalg.vector_norm(anchor - negative, dim=-1)
    return torch.relu(to_positive - to_negative + margin)


def triplet_gradients(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    active = triplet_loss(anchor, positive, negative, margin)[:, None] > 0
    from_positive = active * _unit(anchor - positive)
    from_negative = active * _unit(anchor - negative)
    return from_positive - from_negative, -from_positive, from_negative


def batch_hard_loss(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    _check(margin, (embeddings[:, 0], labels))
    distances = pairwise_distances(embeddings)
    same = labels[:, None] == labels
    friends = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    hardest_positive = distances.masked_fill(~friends, -torch.inf).amax(dim=1)
    hardest_negative = distances.masked_fill(same, torch.inf).amin(dim=1)
    losses = torch.relu(hardest_positive - hardest_negative + margin)
    anchors = friends.any(dim=1) & ~same.all(dim=1)
    return losses.sum() / anchors.sum().clamp(min=1)


def _unit(x: Tensor) -> Tensor:
    """Every row at length 1; a row of zeros stays."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.where(length > 0, 1)


def _check(margin: float, *pairs: tuple[Tensor, Tensor]) -> None:
    if margin < 0:
        raise ValueError(f"the margin is 0 or more, not {margin}")
    for one, other in pairs:
        if one.shape != other.shape:
            raise ValueError(f"the shapes {tuple(one.shape)} and {tuple(other.shape)} differ")
