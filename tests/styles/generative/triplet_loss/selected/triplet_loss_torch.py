"""Another style: torch.cdist, a hinge of all triplets where they are, and only the usable anchors selected."""

import torch
from torch.nn.functional import relu


def pairwise_distances(x):
    wide = x.float() if x.dtype == torch.float16 else x
    return torch.cdist(wide, wide, compute_mode="donot_use_mm_for_euclid_dist").to(x.dtype)


def _distance(a, b):
    if a.shape != b.shape:
        raise ValueError("two sides of unequal shape")
    return (a - b).norm(p=2, dim=1)


def _no_negative(margin):
    if margin < 0:
        raise ValueError("negative margin")


def contrastive_loss(a, b, same, margin=1.0):
    _no_negative(margin)
    if len(same) != len(a):
        raise ValueError("one flag per pair")
    distance = _distance(a, b)
    losses = torch.empty_like(distance)
    losses[same] = distance[same] ** 2 / 2
    losses[~same] = relu(margin - distance[~same]) ** 2 / 2
    return losses


def triplet_loss(anchor, positive, negative, margin=1.0):
    _no_negative(margin)
    return relu(_distance(anchor, positive) - _distance(anchor, negative) + margin)


def triplet_gradients(anchor, positive, negative, margin=1.0):
    def total(*vectors):
        return triplet_loss(*vectors, margin).sum()

    return torch.func.grad(total, argnums=(0, 1, 2))(anchor, positive, negative)


def batch_hard_loss(embeddings, labels, margin=1.0):
    _no_negative(margin)
    if labels.size(0) != embeddings.size(0):
        raise ValueError("one label per row")
    alike = labels.view(-1, 1).eq(labels.view(1, -1))
    usable = (alike.sum(1) > 1) & (alike.sum(1) < labels.numel())
    if not usable.any():
        return (embeddings * 0).sum()
    distances = pairwise_distances(embeddings)[usable]
    alike = alike[usable]
    # The anchor itself is at distance 0: it can only be the farthest friend where a copy is as far.
    farthest = (distances * alike).max(dim=1).values
    nearest = distances.masked_fill(alike, float("inf")).min(dim=1).values
    return relu(farthest - nearest + margin).mean()
