"""Another style: the box as a padded mask of ones, and the mixed loss as Keras' cross-entropy against soft targets."""

import keras
import numpy as np
import tensorflow as tf


def draw(rng, batch, height, width, alpha=1.0):
    if alpha < 0:
        raise ValueError("alpha must not be negative")
    lam = float(rng.beta(alpha, alpha)) if alpha > 0 else 1.0
    order = tf.convert_to_tensor(rng.permutation(batch), dtype=tf.int32)
    row = rng.integers(0, height)
    column = rng.integers(0, width)
    return lam, order, (row, column)


def _validate(lam, *tensors):
    lengths = {int(tf.shape(t)[0]) for t in tensors}
    if len(lengths) > 1 or lam < 0 or lam > 1:
        raise ValueError(f"lam {lam}, lengths {lengths}")


def mixup(x, order, lam):
    _validate(lam, x, order)
    partner = keras.ops.take(x, order, axis=0)
    return partner + tf.constant(lam, x.dtype) * (x - partner)


def cut_box(height, width, lam, center):
    size = np.array([height, width])
    side = np.floor(size * np.sqrt(1 - lam)).astype(int)
    low = np.array(center) - side // 2
    (top, left), (bottom, right) = np.clip(low, 0, size), np.clip(low + side, 0, size)
    return top, bottom, left, right


def cutmix(images, order, lam, center):
    _validate(lam, images, order)
    _, height, width, _ = images.shape
    top, bottom, left, right = cut_box(height, width, lam, center)
    box = tf.ones((bottom - top, right - left, 1), images.dtype)
    box = tf.pad(box, [[top, height - bottom], [left, width - right], [0, 0]])
    mixed = (1 - box) * images + box * keras.ops.take(images, order, axis=0)
    return mixed, 1 - tf.reduce_mean(tf.cast(box, tf.float64))


def mixed_loss(logits, labels, order, lam):
    _validate(lam, logits, labels, order)
    targets = mixup(tf.one_hot(labels, logits.shape[1], dtype=logits.dtype), order, lam)
    return tf.reduce_mean(keras.losses.categorical_crossentropy(targets, logits, from_logits=True))
