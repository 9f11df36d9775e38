"""Another style: everything from softplus and cross_entropy, and the derivative by automatic differentiation."""

import torch
from torch.nn.functional import cross_entropy, softplus


def _refuse_if(wrong, why):
    if wrong:
        raise ValueError(why)


def binary_focal_loss(logits, targets, alpha=None, gamma=2.0):
    _refuse_if(logits.size() != targets.size(), "shapes differ")
    _refuse_if(gamma < 0, "gamma is negative")
    positive = softplus(-logits) * torch.exp(-gamma * softplus(logits))
    negative = softplus(logits) * torch.exp(-gamma * softplus(-logits))
    if alpha is not None:
        _refuse_if(alpha < 0 or alpha > 1, "alpha lies outside of 0 to 1")
        positive, negative = alpha * positive, (1 - alpha) * negative
    return torch.where(targets > 0.5, positive, negative)


def binary_focal_gradient(logits, targets, alpha=None, gamma=2.0):
    with torch.enable_grad():
        leaf = logits.detach().clone().requires_grad_()
        loss = binary_focal_loss(leaf, targets, alpha, gamma)
        (slope,) = torch.autograd.grad(loss, leaf, torch.ones_like(loss))
    return slope


def focal_loss(logits, labels, alpha=None, gamma=2.0):
    count, classes = logits.size()
    _refuse_if(classes == 1, "one class")
    _refuse_if(labels.size() != (count,), "labels")
    _refuse_if(alpha is not None and alpha.numel() != classes, "alpha")
    _refuse_if(gamma < 0, "gamma is negative")
    surprise = cross_entropy(logits, labels, reduction="none")
    others = logits.scatter(1, labels[:, None], float("-inf"))
    certainty = torch.logsumexp(logits, 1) - torch.logsumexp(others, 1)
    weight = 1 if alpha is None else alpha.index_select(0, labels)
    return weight * surprise * torch.exp(-gamma * certainty)
