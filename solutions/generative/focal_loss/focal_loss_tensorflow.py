"""Focal loss, in TensorFlow.

Write p for the probability of the true class. Both log p and log(1 - p) come straight from the logits, so neither
rounds to log 0, and the factor (1 - p)^gamma is exp(gamma · log(1 - p)). That is the trap: where p rounds to 1, the
power of 1 - p has an infinite slope for a gamma below 1, and the gradient becomes nan. The weights come last, because
a weighted cross-entropy is no longer -log p.
"""

import tensorflow as tf
from tensorflow import Tensor


def binary_focal_loss(logits: Tensor, targets: Tensor, alpha: float | None = None, gamma: float = 2.0) -> Tensor:
    _check_binary(logits, targets, alpha, gamma)
    log_p, log_other = _log_probabilities(logits, targets)
    return -_weights(targets, alpha) * tf.exp(gamma * log_other) * log_p


def binary_focal_gradient(logits: Tensor, targets: Tensor, alpha: float | None = None, gamma: float = 2.0) -> Tensor:
    _check_binary(logits, targets, alpha, gamma)
    log_p, log_other = _log_probabilities(logits, targets)
    slope = tf.exp(gamma * log_other) * (gamma * tf.exp(log_p) * log_p - tf.exp(log_other))
    return _weights(targets, alpha) * _sign(targets) * slope


def focal_loss(logits: Tensor, labels: Tensor, alpha: Tensor | None = None, gamma: float = 2.0) -> Tensor:
    rows, classes = logits.shape
    if classes < 2 or labels.shape != (rows,) or gamma < 0 or (alpha is not None and alpha.shape != (classes,)):
        raise ValueError(f"logits {logits.shape}, labels {labels.shape}, alpha {alpha} and gamma {gamma} do not fit")
    log_probabilities = tf.nn.log_softmax(logits)
    is_true = tf.one_hot(labels, classes, on_value=True, off_value=False)
    log_p = log_probabilities[is_true]
    log_other = tf.reduce_logsumexp(tf.where(is_true, -float("inf"), log_probabilities), axis=1)
    loss = -tf.exp(gamma * log_other) * log_p
    return loss if alpha is None else tf.gather(alpha, labels) * loss


def _check_binary(logits: Tensor, targets: Tensor, alpha: float | None, gamma: float) -> None:
    if logits.shape != targets.shape:
        raise ValueError(f"logits have the shape {logits.shape}, targets {targets.shape}")
    if gamma < 0 or not 0 <= (alpha or 0) <= 1:
        raise ValueError(f"gamma is 0 or more and alpha from 0 to 1, not {gamma} and {alpha}")


def _sign(targets: Tensor) -> Tensor:
    return 2 * targets - 1


def _log_probabilities(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of the true class and of the other one."""
    logit_of_truth = _sign(targets) * logits
    return tf.math.log_sigmoid(logit_of_truth), tf.math.log_sigmoid(-logit_of_truth)


def _weights(targets: Tensor, alpha: float | None) -> Tensor | float:
    return 1.0 if alpha is None else alpha * targets + (1 - alpha) * (1 - targets)
