"""The heads folded into the batch, (B·heads, T, d), in the operations of Keras; masks as numbers to add."""

from keras import ops


def split_heads(x, heads):
    if x.shape[2] % heads:
        raise ValueError("the width is not a multiple of the heads")
    x = ops.reshape(x, (x.shape[0], x.shape[1], heads, x.shape[2] // heads))
    return ops.swapaxes(x, 1, 2)


def merge_heads(x):
    x = ops.swapaxes(x, 1, 2)
    return ops.reshape(x, (x.shape[0], x.shape[1], x.shape[2] * x.shape[3]))


def _folded(x, weights, name, heads):
    x = split_heads(ops.add(ops.matmul(x, weights[name]), weights[f"{name}_bias"]), heads)
    return ops.reshape(x, (x.shape[0] * heads, x.shape[2], x.shape[3]))


def multihead(query, key, value, weights, heads, mask=None, key_mask=None):
    if key.shape[1] != value.shape[1]:
        raise ValueError("keys and values differ in length")
    batch, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    q, k, v = (
        _folded(x, weights, name, heads) for x, name in zip((query, key, value), ("query", "key", "value"), strict=True)
    )
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) / q.shape[-1] ** 0.5
    scores = ops.reshape(scores, (batch, heads, queries, keys))
    visible = ops.ones((batch, heads, queries, keys), dtype="bool")
    for given in (mask, None if key_mask is None else ops.reshape(key_mask, (batch, 1, 1, keys))):
        if given is not None:
            visible = ops.logical_and(visible, given)
    looks = ops.softmax(ops.where(visible, scores, scores.dtype.min))
    looks = ops.where(ops.any(visible, axis=-1, keepdims=True), looks, ops.zeros_like(looks))
    mixed = ops.matmul(ops.reshape(looks, (batch * heads, queries, keys)), v)
    mixed = merge_heads(ops.reshape(mixed, (batch, heads, queries, v.shape[-1])))
    return ops.matmul(mixed, weights["output"]) + weights["output_bias"], looks
