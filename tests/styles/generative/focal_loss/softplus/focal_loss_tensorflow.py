"""Another style: everything from Keras' softplus, and the derivative by automatic differentiation."""

import tensorflow as tf
from keras import ops


def _refuse_if(wrong, why):
    if wrong:
        raise ValueError(why)


def binary_focal_loss(logits, targets, alpha=None, gamma=2.0):
    _refuse_if(logits.shape != targets.shape, "shapes differ")
    _refuse_if(gamma < 0, "gamma is negative")
    positive = ops.softplus(-logits) * ops.exp(-gamma * ops.softplus(logits))
    negative = ops.softplus(logits) * ops.exp(-gamma * ops.softplus(-logits))
    if alpha is not None:
        _refuse_if(alpha < 0 or alpha > 1, "alpha lies outside of 0 to 1")
        positive, negative = alpha * positive, (1 - alpha) * negative
    return ops.where(targets > 0.5, positive, negative)


def binary_focal_gradient(logits, targets, alpha=None, gamma=2.0):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = binary_focal_loss(logits, targets, alpha, gamma)
    return tape.gradient(loss, logits)


def focal_loss(logits, labels, alpha=None, gamma=2.0):
    count, classes = logits.shape
    _refuse_if(classes == 1, "one class")
    _refuse_if(tuple(labels.shape) != (count,), "labels")
    _refuse_if(alpha is not None and len(alpha) != classes, "alpha")
    _refuse_if(gamma < 0, "gamma is negative")
    surprise = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    at = tf.stack([tf.range(count, dtype=labels.dtype), labels], axis=1)
    others = tf.tensor_scatter_nd_update(logits, at, tf.fill([count], tf.cast(-float("inf"), logits.dtype)))
    certainty = ops.logsumexp(logits, axis=1) - ops.logsumexp(others, axis=1)
    weight = tf.ones_like(surprise) if alpha is None else ops.take(alpha, labels)
    return weight * surprise * tf.exp(-gamma * certainty)
