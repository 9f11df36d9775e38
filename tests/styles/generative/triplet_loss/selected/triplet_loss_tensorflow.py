"""Another style: a norm with a gradient of its own, and only the usable anchors selected by boolean_mask."""

import tensorflow as tf


@tf.custom_gradient
def _norm(x):
    length = tf.norm(x, axis=-1)

    def backward(upstream):
        direction = tf.math.divide_no_nan(x, length[..., tf.newaxis])
        return upstream[..., tf.newaxis] * direction

    return length, backward


def pairwise_distances(x):
    return _norm(x[tf.newaxis] - x[:, tf.newaxis])


def _distance(a, b):
    if a.shape != b.shape:
        raise ValueError("two sides of unequal shape")
    return _norm(tf.subtract(a, b))


def _no_negative(margin):
    if margin < 0:
        raise ValueError("negative margin")


def contrastive_loss(a, b, same, margin=1.0):
    _no_negative(margin)
    distance = _distance(a, b)
    if len(same) != len(a):
        raise ValueError("one flag per pair")
    gap = tf.where(same, distance, tf.maximum(tf.zeros_like(distance), margin - distance))
    return tf.square(gap) / 2


def triplet_loss(anchor, positive, negative, margin=1.0):
    _no_negative(margin)
    return tf.nn.relu(_distance(anchor, positive) - _distance(anchor, negative) + margin)


def triplet_gradients(anchor, positive, negative, margin=1.0):
    hit = triplet_loss(anchor, positive, negative, margin)[:, tf.newaxis] > 0
    pull = tf.math.divide_no_nan(anchor - positive, _norm(anchor - positive)[:, tf.newaxis])
    push = tf.math.divide_no_nan(anchor - negative, _norm(anchor - negative)[:, tf.newaxis])
    return [tf.where(hit, slope, tf.zeros_like(slope)) for slope in (pull - push, -pull, push)]


def batch_hard_loss(embeddings, labels, margin=1.0):
    _no_negative(margin)
    if labels.shape[0] != embeddings.shape[0]:
        raise ValueError("one label per row")
    alike = tf.equal(labels[:, tf.newaxis], labels[tf.newaxis])
    friends = tf.math.count_nonzero(alike, axis=1)
    usable = (friends > 1) & (friends < labels.shape[0])
    distances = tf.boolean_mask(pairwise_distances(embeddings), usable)
    alike = tf.boolean_mask(alike, usable)
    # The anchor itself is at distance 0: it can only be the farthest friend where a copy is as far.
    farthest = tf.reduce_max(distances * tf.cast(alike, distances.dtype), axis=1)
    nearest = tf.reduce_min(tf.where(alike, distances.dtype.max, distances), axis=1)
    losses = tf.nn.relu(farthest - nearest + margin)
    return tf.reduce_sum(losses) / max(1, losses.shape[0])
