"""The encoder block of a Transformer, in TensorFlow.

Two branches, attention and feed-forward, each with dropout at its end, and four lines that say how they are joined:
with post-norm the norm takes the sum; with pre-norm it takes what goes into the branch, and the sum stays bare. The
trap is to normalise x itself in the pre-norm block: then the straight way, which carries the gradient past all blocks,
is gone.
A second one is Keras' own: its layer norm has an epsilon of 1e-3 unless told.
"""

import keras
import tensorflow as tf
from tensorflow import Tensor


class EncoderBlock(keras.layers.Layer):
    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.1,
        norm_first: bool = False,
        eps: float = 1e-5,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads, self.norm_first = heads, norm_first
        self.query, self.key, self.value, self.mix = (keras.layers.Dense(width) for _ in range(4))
        self.expand, self.contract = keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(width)
        self.norm1, self.norm2 = (keras.layers.LayerNormalization(epsilon=eps) for _ in range(2))
        self.drop_weights, self.drop_attended = keras.layers.Dropout(dropout), keras.layers.Dropout(dropout)
        self.drop_hidden, self.drop_fed = keras.layers.Dropout(dropout), keras.layers.Dropout(dropout)

    def call(self, x: Tensor, mask: Tensor | None = None, training: bool = False) -> Tensor:
        if self.norm_first:
            x = x + self._attend(self.norm1(x), mask, training)
            return x + self._feed(self.norm2(x), training)
        x = self.norm1(x + self._attend(x, mask, training))
        return self.norm2(x + self._feed(x, training))

    def _attend(self, x: Tensor, mask: Tensor | None, training: bool) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            tf.transpose(tf.reshape(layer(x), [batch, length, self.heads, width // self.heads]), [0, 2, 1, 3])
            for layer in (self.query, self.key, self.value)
        )
        scores = tf.matmul(q, k, transpose_b=True) / q.shape[-1] ** 0.5
        if mask is not None:  # the lowest number, not minus infinity: a row of padding alone must not become nan
            scores = tf.where(mask[:, None, None, :], scores, scores.dtype.min)
        weights = self.drop_weights(tf.nn.softmax(scores), training=training)
        heads_side_by_side = tf.reshape(tf.transpose(weights @ v, [0, 2, 1, 3]), [batch, length, width])
        return self.drop_attended(self.mix(heads_side_by_side), training=training)

    def _feed(self, x: Tensor, training: bool) -> Tensor:
        hidden = self.drop_hidden(self.expand(x), training=training)
        return self.drop_fed(self.contract(hidden), training=training)
