"""Another style: mine first, without gradient, by argmax and argmin, then the plain triplet loss of what was found."""

import torch


def _length(x):
    squares = x.square().sum(-1)
    zero = (squares == 0).to(x.dtype)
    return torch.sqrt(squares + zero) - zero


def _need(*truths):
    if not all(truths):
        raise ValueError("the arguments do not fit")


def pairwise_distances(x):
    return _length(x.unsqueeze(0) - x.unsqueeze(1))


def contrastive_loss(a, b, same, margin=1.0):
    _need(a.shape == b.shape, same.shape == a.shape[:1], margin >= 0)
    pull = 0.5 * (a - b).pow(2).sum(1)
    push = 0.5 * (margin - _length(a - b)).clamp(min=0).pow(2)
    y = same.to(a.dtype)
    return y * pull + (1 - y) * push


def triplet_loss(anchor, positive, negative, margin=1.0):
    _need(anchor.shape == positive.shape == negative.shape, margin >= 0)
    gap = _length(anchor - negative) - _length(anchor - positive)
    return (margin - gap).relu()


def triplet_gradients(anchor, positive, negative, margin=1.0):
    leaves = [x.detach().clone().requires_grad_(True) for x in (anchor, positive, negative)]
    triplet_loss(*leaves, margin).sum().backward()
    return tuple(leaf.grad for leaf in leaves)


def batch_hard_loss(embeddings, labels, margin=1.0):
    _need(labels.shape == embeddings.shape[:1], margin >= 0)
    with torch.no_grad():
        distances = pairwise_distances(embeddings)
        same = torch.eq(labels.unsqueeze(0), labels.unsqueeze(1))
        friend = same.clone().fill_diagonal_(False)
        farthest = torch.where(friend, distances, -torch.ones_like(distances)).argmax(dim=1)
        nearest = torch.where(same, torch.full_like(distances, float("inf")), distances).argmin(dim=1)
        usable = (friend.any(dim=1) & (~same).any(dim=1)).to(embeddings.dtype)
    losses = triplet_loss(embeddings, embeddings[farthest], embeddings[nearest], margin)
    return torch.dot(losses, usable) / usable.sum().clamp(min=1)
