"""Multi-head attention, in TensorFlow.

The heads are one more batch axis: project once for all heads, split D into (heads, d) and move the heads before the
time, and a single matrix product serves every batch and head. The trap is in that move. A reshape to (B, heads, T, d)
has the right shape without it, and deals every head a mixture of time steps; merging has to undo the move first, too.
"""

from collections.abc import Mapping

import tensorflow as tf
from tensorflow import Tensor


def split_heads(x: Tensor, heads: int) -> Tensor:
    batch, length, width = x.shape
    if width % heads:
        raise ValueError(f"{heads} heads do not divide the width {width}")
    return tf.transpose(tf.reshape(x, [batch, length, heads, width // heads]), [0, 2, 1, 3])


def merge_heads(x: Tensor) -> Tensor:
    batch, heads, length, width = x.shape
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, length, heads * width])


def multihead(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: Mapping[str, Tensor],
    heads: int,
    mask: Tensor | None = None,
    key_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    if key.shape[1] != value.shape[1]:
        raise ValueError(f"{key.shape[1]} keys, but {value.shape[1]} values")

    def project(x: Tensor, name: str) -> Tensor:
        return x @ weights[name] + weights[f"{name}_bias"]

    q, k, v = (split_heads(project(x, name), heads) for x, name in ((query, "query"), (key, "key"), (value, "value")))
    scores = tf.matmul(q, k, transpose_b=True) / q.shape[-1] ** 0.5
    visible = tf.ones_like(scores, tf.bool)
    if mask is not None:
        visible &= mask
    if key_mask is not None:
        visible &= key_mask[:, None, None, :]
    sees_something = tf.cast(tf.reduce_any(visible, axis=-1, keepdims=True), scores.dtype)
    looks = tf.nn.softmax(tf.where(visible, scores, scores.dtype.min)) * sees_something  # a blind row is zeroed
    return project(merge_heads(looks @ v), "output"), looks
