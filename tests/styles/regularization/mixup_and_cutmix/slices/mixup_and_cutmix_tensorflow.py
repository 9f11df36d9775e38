"""Another style: the image put together from strips by tf.concat, and log-probabilities picked by tf.gather."""

from math import floor

import tensorflow as tf


def draw(rng, batch, height, width, alpha=1.0):
    lam = rng.beta(alpha, alpha) if alpha != 0 else 1.0
    order = tf.constant(rng.permutation(batch), tf.int64)
    return lam, order, tf.stack([rng.integers(height), rng.integers(width)])


def mixup(x, order, lam):
    _need(0 <= lam <= 1, "lam from 0 to 1")
    _need(order.shape == x.shape[:1], "one partner each")
    return tf.add(tf.scalar_mul(lam, x), tf.scalar_mul(1 - lam, tf.gather(x, order)))


def cut_box(height, width, lam, center):
    row, column = center
    box_height, box_width = floor(height * (1 - lam) ** 0.5), floor(width * (1 - lam) ** 0.5)
    top, left = row - box_height // 2, column - box_width // 2
    bottom, right = top + box_height, left + box_width
    return max(0, top), min(height, bottom), max(0, left), min(width, right)


def cutmix(images, order, lam, center):
    _need(0 <= lam <= 1, "lam from 0 to 1")
    _need(order.shape == images.shape[:1], "one partner each")
    height, width = images.shape[1], images.shape[2]
    top, bottom, left, right = cut_box(height, width, lam, center)
    partners, band = tf.gather(images, order), slice(top, bottom)
    middle = tf.concat([images[:, band, :left], partners[:, band, left:right], images[:, band, right:]], axis=2)
    mixed = tf.concat([images[:, :top], middle, images[:, bottom:]], axis=1)
    return mixed, (height * width - (bottom - top) * (right - left)) / (height * width)


def mixed_loss(logits, labels, order, lam):
    _need(0 <= lam <= 1, "lam from 0 to 1")
    _need(logits.shape[0] == labels.shape[0] == order.shape[0], "one label and one partner each")
    log_p = tf.nn.log_softmax(logits)
    own = tf.gather(log_p, labels, axis=1, batch_dims=1)
    partners = tf.gather(log_p, tf.gather(labels, order), axis=1, batch_dims=1)
    return -tf.reduce_mean(lam * own + (1 - lam) * partners)


def _need(holds, what):
    if not holds:
        raise ValueError(f"needed: {what}")
