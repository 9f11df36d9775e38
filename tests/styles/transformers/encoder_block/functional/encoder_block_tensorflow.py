"""The indices of the heads spelled out in einsum; padding is left out of the softmax by hand."""

import keras
import tensorflow as tf


class EncoderBlock(keras.layers.Layer):
    def __init__(self, width, heads, hidden, dropout=0.1, norm_first=False, eps=1e-5):
        if width % heads != 0:
            raise ValueError(f"width {width}, heads {heads}")
        super().__init__()
        self.sizes, self.norm_first = (heads, width // heads), norm_first
        dense, norm, drop = keras.layers.Dense, keras.layers.LayerNormalization, keras.layers.Dropout
        self.query, self.key, self.value, self.mix = dense(width), dense(width), dense(width), dense(width)
        self.expand, self.contract = dense(hidden, activation=tf.nn.relu), dense(width)
        self.norm1, self.norm2 = norm(epsilon=eps), norm(epsilon=eps)
        self.drop_weights, self.drop_attended = drop(dropout), drop(dropout)
        self.drop_hidden, self.drop_fed = drop(dropout), drop(dropout)
        self.feed = keras.Sequential([self.expand, self.drop_hidden, self.contract, self.drop_fed])

    def call(self, x, mask=None, training=False):
        h = self.norm1(x) if self.norm_first else x
        y = x + self.attend(h, mask, training)
        y = y if self.norm_first else self.norm1(y)
        h = self.norm2(y) if self.norm_first else y
        y = y + self.feed(h, training=training)
        return y if self.norm_first else self.norm2(y)

    def attend(self, x, mask, training):
        q, k, v = (tf.reshape(dense(x), [*x.shape[:-1], *self.sizes]) for dense in (self.query, self.key, self.value))
        scores = tf.einsum("bihd,bjhd->bhij", q, k) / tf.sqrt(tf.cast(self.sizes[1], x.dtype))
        powers = tf.exp(scores - tf.reduce_max(scores, axis=-1, keepdims=True))
        if mask is not None:
            powers *= tf.cast(mask, x.dtype)[:, tf.newaxis, tf.newaxis]
        looks = tf.math.divide_no_nan(powers, tf.reduce_sum(powers, axis=-1, keepdims=True))
        found = tf.einsum("bhij,bjhd->bihd", self.drop_weights(looks, training=training), v)
        return self.drop_attended(self.mix(tf.reshape(found, x.shape)), training=training)
