"""Another style: mine first, without gradient, by argmax and argmin, then the plain triplet loss of what was found."""

import tensorflow as tf


def _length(x):
    squares = tf.reduce_sum(tf.square(x), -1)
    zero = tf.cast(tf.equal(squares, 0), x.dtype)
    return tf.sqrt(squares + zero) - zero


def _need(*truths):
    if not all(truths):
        raise ValueError("the arguments do not fit")


def pairwise_distances(x):
    return _length(tf.expand_dims(x, 0) - tf.expand_dims(x, 1))


def contrastive_loss(a, b, same, margin=1.0):
    _need(a.shape == b.shape, same.shape == a.shape[:1], margin >= 0)
    pull = 0.5 * tf.reduce_sum((a - b) ** 2, axis=1)
    push = 0.5 * tf.maximum(margin - _length(a - b), 0) ** 2
    y = tf.cast(same, a.dtype)
    return y * pull + (1 - y) * push


def triplet_loss(anchor, positive, negative, margin=1.0):
    _need(anchor.shape == positive.shape == negative.shape, margin >= 0)
    gap = _length(anchor - negative) - _length(anchor - positive)
    return tf.nn.relu(margin - gap)


def triplet_gradients(anchor, positive, negative, margin=1.0):
    with tf.GradientTape() as tape:
        tape.watch([anchor, positive, negative])
        loss = triplet_loss(anchor, positive, negative, margin)
    return tape.gradient(loss, [anchor, positive, negative])


def batch_hard_loss(embeddings, labels, margin=1.0):
    _need(labels.shape == embeddings.shape[:1], margin >= 0)
    distances = tf.stop_gradient(pairwise_distances(embeddings))
    same = tf.equal(tf.expand_dims(labels, 0), tf.expand_dims(labels, 1))
    friend = same & ~tf.eye(len(labels), dtype=tf.bool)
    farthest = tf.argmax(tf.where(friend, distances, -tf.ones_like(distances)), axis=1)
    nearest = tf.argmin(tf.where(same, distances.dtype.max, distances), axis=1)
    usable = tf.cast(tf.reduce_any(friend, axis=1) & tf.reduce_any(~same, axis=1), embeddings.dtype)
    losses = triplet_loss(embeddings, tf.gather(embeddings, farthest), tf.gather(embeddings, nearest), margin)
    return tf.tensordot(losses, usable, 1) / tf.maximum(tf.reduce_sum(usable), 1)
