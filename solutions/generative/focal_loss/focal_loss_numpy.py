"""Focal loss, in NumPy.

Write p for the probability of the true class. Both log p and log(1 - p) come straight from the logits, so neither
rounds to log 0: for two classes log p is -log(exp(0) + exp(-logit)), which `logaddexp` computes without overflow; for
more, log(1 - p) sums over the other classes. The factor (1 - p)^gamma is exp(gamma · log(1 - p)). The trap is the
weights: they come last, because a weighted cross-entropy is no longer -log p.
"""

import numpy as np


def binary_focal_loss(
    logits: np.ndarray, targets: np.ndarray, alpha: float | None = None, gamma: float = 2.0
) -> np.ndarray:
    _check_binary(logits, targets, alpha, gamma)
    log_p, log_other = _log_probabilities(logits, targets)
    return -_weights(targets, alpha) * np.exp(gamma * log_other) * log_p


def binary_focal_gradient(
    logits: np.ndarray, targets: np.ndarray, alpha: float | None = None, gamma: float = 2.0
) -> np.ndarray:
    _check_binary(logits, targets, alpha, gamma)
    log_p, log_other = _log_probabilities(logits, targets)
    slope = np.exp(gamma * log_other) * (gamma * np.exp(log_p) * log_p - np.exp(log_other))
    return _weights(targets, alpha) * _sign(targets) * slope


def focal_loss(
    logits: np.ndarray, labels: np.ndarray, alpha: np.ndarray | None = None, gamma: float = 2.0
) -> np.ndarray:
    rows, classes = logits.shape
    if classes < 2 or labels.shape != (rows,) or gamma < 0 or (alpha is not None and alpha.shape != (classes,)):
        raise ValueError(f"logits {logits.shape}, labels {labels.shape}, alpha {alpha} and gamma {gamma} do not fit")
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    is_true = np.arange(classes) == labels[:, None]
    log_p = log_probabilities[is_true]
    log_other = np.logaddexp.reduce(np.where(is_true, -np.inf, log_probabilities), axis=1)
    loss = -np.exp(gamma * log_other) * log_p
    return loss if alpha is None else alpha[labels] * loss


def _check_binary(logits: np.ndarray, targets: np.ndarray, alpha: float | None, gamma: float) -> None:
    if logits.shape != targets.shape:
        raise ValueError(f"logits have the shape {logits.shape}, targets {targets.shape}")
    if gamma < 0 or not 0 <= (alpha or 0) <= 1:
        raise ValueError(f"gamma is 0 or more and alpha from 0 to 1, not {gamma} and {alpha}")


def _sign(targets: np.ndarray) -> np.ndarray:
    return 2 * targets - 1


def _log_probabilities(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the true class and of the other one."""
    logit_of_truth = _sign(targets) * logits
    return -np.logaddexp(0, -logit_of_truth), -np.logaddexp(0, logit_of_truth)


def _weights(targets: np.ndarray, alpha: float | None) -> np.ndarray | float:
    return 1.0 if alpha is None else alpha * targets + (1 - alpha) * (1 - targets)
