"""The indices spelled out: q queries, k keys, d the width, v the width of the values. The softmax is the exponential of
the score less the logarithm of the sum of exponentials."""

import tensorflow as tf


def attention(query, key, value, mask=None):
    width, length = query.shape[-1], key.shape[-2]
    if key.shape[-1] != width or value.shape[-2] != length:
        raise ValueError(f"{query.shape}, {key.shape} and {value.shape} do not fit")
    scores = tf.einsum("...qd,...kd->...qk", query * width**-0.5, key)
    if mask is not None and mask.dtype.is_bool:
        mask = tf.broadcast_to(mask, tf.shape(scores))
        scores = tf.where(mask, scores, scores.dtype.min)
        weights = tf.exp(scores - tf.reduce_logsumexp(scores, axis=-1, keepdims=True))
        weights = tf.where(mask, weights, 0)
    else:
        scores = scores if mask is None else tf.add(scores, mask)
        weights = tf.exp(scores - tf.reduce_logsumexp(scores, axis=-1, keepdims=True))
    return tf.einsum("...qk,...kv->...qv", weights, value), weights
