"""Another style: p itself, with 1 - p kept above the smallest normal number, so that any power has a finite slope."""

import torch


def _log_sigmoid(x):
    return x.clamp(max=0) - torch.log1p(torch.exp(-x.abs()))


def _down(log_p, gamma):
    other = torch.clamp(-torch.expm1(log_p), min=torch.finfo(log_p.dtype).tiny)
    return other**gamma


def _check(logits, targets, alpha, gamma):
    if logits.shape != targets.shape:
        raise ValueError("logits and targets differ in shape")
    if gamma < 0:
        raise ValueError("gamma is negative")
    if alpha is not None and not (0 <= alpha <= 1):
        raise ValueError("alpha is no share")


def _weighted(values, targets, alpha):
    if alpha is None:
        return values
    share = torch.full_like(values, alpha)
    return values * torch.where(targets.bool(), share, 1 - share)


def binary_focal_loss(logits, targets, alpha=None, gamma=2.0):
    _check(logits, targets, alpha, gamma)
    log_p = _log_sigmoid(torch.where(targets.bool(), logits, -logits))
    return _weighted(-_down(log_p, gamma) * log_p, targets, alpha)


def binary_focal_gradient(logits, targets, alpha=None, gamma=2.0):
    _check(logits, targets, alpha, gamma)
    score = torch.sigmoid(logits)
    p, other = torch.where(targets.bool(), score, 1 - score), torch.where(targets.bool(), 1 - score, score)
    entropy = p * torch.log(p.clamp_min(torch.finfo(p.dtype).tiny))
    slope = gamma * other**gamma * entropy - other ** (gamma + 1)
    return _weighted(torch.where(targets.bool(), slope, -slope), targets, alpha)


def focal_loss(logits, labels, alpha=None, gamma=2.0):
    if logits.shape[1] < 2:
        raise ValueError("focal loss needs two classes")
    if labels.shape != logits.shape[:1]:
        raise ValueError("one label per row")
    if alpha is not None and alpha.shape != logits.shape[1:]:
        raise ValueError("one weight per class")
    if gamma < 0:
        raise ValueError("gamma is negative")
    highest = logits.max(dim=1, keepdim=True).values if len(logits) else 0
    shifted = logits - highest
    log_p = shifted - shifted.exp().sum(dim=1, keepdim=True).log()
    log_p = torch.gather(log_p, 1, labels.unsqueeze(1)).squeeze(1)
    losses = -_down(log_p, gamma) * log_p
    return losses if alpha is None else losses * torch.take(alpha, labels)
