"""Another style: p itself, with 1 - p kept above a small number, so that any power has a finite slope."""

import tensorflow as tf


def _log_sigmoid(x):
    return tf.minimum(x, 0) - tf.math.log1p(tf.exp(-tf.abs(x)))


def _down(log_p, gamma):
    other = tf.clip_by_value(-tf.math.expm1(log_p), 1e-7, 1)
    return tf.pow(other, tf.constant(gamma, log_p.dtype))


def _check(logits, targets, alpha, gamma):
    if not logits.shape.is_compatible_with(targets.shape):
        raise ValueError("logits and targets differ in shape")
    if gamma < 0:
        raise ValueError("gamma is negative")
    if alpha is not None and not (0 <= alpha <= 1):
        raise ValueError("alpha is no share")


def _weighted(values, targets, alpha):
    if alpha is None:
        return values
    share = tf.fill(tf.shape(values), tf.constant(alpha, values.dtype))
    return values * tf.where(targets == 1, share, 1 - share)


def binary_focal_loss(logits, targets, alpha=None, gamma=2.0):
    _check(logits, targets, alpha, gamma)
    log_p = _log_sigmoid(tf.where(targets == 1, logits, -logits))
    return _weighted(-_down(log_p, gamma) * log_p, targets, alpha)


def binary_focal_gradient(logits, targets, alpha=None, gamma=2.0):
    _check(logits, targets, alpha, gamma)
    score = tf.sigmoid(logits)
    p, other = tf.where(targets == 1, score, 1 - score), tf.where(targets == 1, 1 - score, score)
    slope = gamma * other**gamma * tf.math.xlogy(p, p) - other ** (gamma + 1)
    return _weighted(tf.where(targets == 1, slope, -slope), targets, alpha)


def focal_loss(logits, labels, alpha=None, gamma=2.0):
    if logits.shape[1] < 2:
        raise ValueError("focal loss needs two classes")
    if labels.shape[0] != logits.shape[0]:
        raise ValueError("one label per row")
    if alpha is not None and alpha.shape[0] != logits.shape[1]:
        raise ValueError("one weight per class")
    if gamma < 0:
        raise ValueError("gamma is negative")
    targets = tf.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    log_p = tf.reduce_sum(targets * tf.nn.log_softmax(logits), axis=1)
    losses = -_down(log_p, gamma) * log_p
    return losses if alpha is None else losses * tf.linalg.matvec(targets, alpha)
