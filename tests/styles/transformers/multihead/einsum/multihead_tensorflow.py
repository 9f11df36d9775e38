"""Each projection as a tensor with a head axis of its own, as Keras keeps it: b batch, i and j time, h head, d the
width of a head, x and y of what goes in and comes out."""

import tensorflow as tf


def split_heads(x, heads):
    if x.shape[-1] % heads != 0:
        raise ValueError(f"{x.shape[-1]} columns for {heads} heads")
    return tf.stack(tf.split(x, heads, axis=-1), axis=1)


def merge_heads(x):
    return tf.concat(tf.unstack(x, axis=1), axis=-1)


def multihead(query, key, value, weights, heads, mask=None, key_mask=None):
    inner = weights["query"].shape[1]
    if inner % heads or key.shape[1] != value.shape[1]:
        raise ValueError("the arguments do not fit")

    def into_heads(x, name):
        kernel = tf.reshape(weights[name], [-1, heads, inner // heads])
        bias = tf.reshape(weights[name + "_bias"], [heads, 1, inner // heads])
        return tf.einsum("bix,xhd->bhid", x, kernel) + bias

    q, k, v = into_heads(query, "query"), into_heads(key, "key"), into_heads(value, "value")
    scores = tf.einsum("bhid,bhjd->bhij", q, k) * (inner // heads) ** -0.5
    if mask is None and key_mask is None:
        looks = tf.nn.softmax(scores)
    else:
        visible = True if mask is None else mask
        if key_mask is not None:
            visible = tf.logical_and(visible, key_mask[:, tf.newaxis, tf.newaxis])
        hidden = tf.cast(tf.logical_not(visible), scores.dtype)
        looks = tf.nn.softmax(scores + hidden * scores.dtype.min / 2) * (1 - hidden)
    kernel = tf.reshape(weights["output"], [heads, inner // heads, -1])
    return tf.einsum("bhij,bhjd,hdy->biy", looks, v, kernel) + weights["output_bias"], looks
