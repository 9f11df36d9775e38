"""Another style: p itself by a sigmoid and a softmax, powers of 1 - p, and the logarithm taken apart from it."""

import numpy as np


def _log_sigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


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
    return np.where(targets == 1, values * alpha, values * (1 - alpha))


def binary_focal_loss(logits, targets, alpha=None, gamma=2.0):
    _check(logits, targets, alpha, gamma)
    log_p = _log_sigmoid(np.where(targets == 1, logits, -logits))
    return _weighted(-np.power(-np.expm1(log_p), gamma) * log_p, targets, alpha)


def binary_focal_gradient(logits, targets, alpha=None, gamma=2.0):
    _check(logits, targets, alpha, gamma)
    log_p = _log_sigmoid(np.where(targets == 1, logits, -logits))
    p, other = np.exp(log_p), -np.expm1(log_p)
    slope = gamma * other**gamma * p * log_p - other ** (gamma + 1)
    return _weighted(np.where(targets == 1, slope, -slope), targets, alpha)


def focal_loss(logits, labels, alpha=None, gamma=2.0):
    if logits.shape[1] < 2:
        raise ValueError("focal loss needs two classes")
    if len(labels) != len(logits):
        raise ValueError("one label per row")
    if alpha is not None and len(alpha) != logits.shape[1]:
        raise ValueError("one weight per class")
    if gamma < 0:
        raise ValueError("gamma is negative")
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_p = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    log_p = np.take_along_axis(log_p, labels[:, np.newaxis], axis=1)[:, 0]
    losses = -np.power(-np.expm1(log_p), gamma) * log_p
    return losses if alpha is None else losses * np.take(alpha, labels)
