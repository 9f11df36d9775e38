"""One query after the other, as the formula is told: right, and slow."""

import tensorflow as tf

STOPS_AT_LEVEL = 6  # no loops


def attention(query, key, value, mask=None):
    if query.shape[-1] != key.shape[-1]:
        raise ValueError("the widths of query and key differ")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError("as many values as keys are needed")
    if mask is not None:
        mask = tf.broadcast_to(mask, [*query.shape[:-1], key.shape[-2]])
    outputs, weights = [], []
    for place in range(query.shape[-2]):
        row = tf.reduce_sum(key * query[..., place : place + 1, :], axis=-1) / query.shape[-1] ** 0.5
        seen = tf.ones_like(row, dtype=tf.bool)
        if mask is not None:
            at = mask[..., place, :]
            row, seen = (row, at) if at.dtype == tf.bool else (row + at, seen)
        row = tf.where(seen, row, row.dtype.min)
        row = tf.exp(row - tf.reduce_max(row, axis=-1, keepdims=True)) * tf.cast(seen, row.dtype)
        row = tf.math.divide_no_nan(row, tf.reduce_sum(row, axis=-1, keepdims=True))
        weights.append(row)
        outputs.append(tf.reduce_sum(row[..., None] * value, axis=-2))
    return tf.stack(outputs, axis=-2), tf.stack(weights, axis=-2)
