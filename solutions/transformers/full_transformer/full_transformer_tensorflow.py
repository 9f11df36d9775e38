"""The whole Transformer, encoder and decoder, in TensorFlow.

One attention serves three places; only where keys come from and what is hidden differ. The target is learned at all
positions at once, which is honest only because of two things that belong together: the decoder reads the target moved
one place to the right, and the causal mask lets no position look further. Without the first it copies its answer,
without the second it looks it up; both show a splendid loss, and translate nothing.
"""

import keras
import tensorflow as tf
from tensorflow import Tensor

PAD, BOS, EOS = 0, 1, 2


def shift_right(target: Tensor) -> Tensor:
    return tf.concat([tf.ones_like(target[:, :1]) * BOS, target[:, :-1]], axis=1)


def causal_mask(length: int) -> Tensor:
    return tf.linalg.band_part(tf.ones([length, length]), -1, 0) > 0


def translation_loss(logits: Tensor, target: Tensor) -> Tensor:
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
    return tf.reduce_mean(losses[target != PAD])


def waves(length: int, width: int) -> Tensor:
    rates = 10_000 ** -(tf.range(0, width, 2, tf.float32) / width)
    angles = tf.range(length, dtype=tf.float32)[:, None] * rates
    return tf.reshape(tf.stack([tf.sin(angles), tf.cos(angles)], axis=-1), [length, width])


class Attention(keras.layers.Layer):
    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads = heads
        self.query, self.key, self.value, self.mix = (keras.layers.Dense(width) for _ in range(4))

    def call(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            tf.transpose(tf.reshape(layer(t), [-1, t.shape[1], self.heads, t.shape[2] // self.heads]), [0, 2, 1, 3])
            for layer, t in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        scores = tf.matmul(q, k, transpose_b=True) / q.shape[-1] ** 0.5
        looks = tf.nn.softmax(tf.where(mask, scores, scores.dtype.min))
        return self.mix(tf.reshape(tf.transpose(looks @ v, [0, 2, 1, 3]), [-1, *x.shape[1:]]))


class EncoderLayer(keras.layers.Layer):
    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.attention = Attention(width, heads)
        self.expand, self.contract = keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(width)
        self.norm1, self.norm2 = _norm(), _norm()

    def call(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, mask)
        return x + self.contract(self.expand(self.norm2(x)))


class DecoderLayer(keras.layers.Layer):
    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.attention, self.cross = Attention(width, heads), Attention(width, heads)
        self.expand, self.contract = keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(width)
        self.norm1, self.norm2, self.norm3 = _norm(), _norm(), _norm()

    def call(self, x: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, mask)
        x = x + self.cross(self.norm2(x), memory, memory_mask)
        return x + self.contract(self.expand(self.norm3(x)))


class Transformer(keras.Model):
    def __init__(self, vocabulary: int, width: int = 32, heads: int = 4, hidden: int = 64, layers: int = 1):
        super().__init__()
        start = keras.initializers.RandomNormal(stddev=width**-0.5)
        self.embedding = keras.layers.Embedding(vocabulary, width, embeddings_initializer=start)
        self.encoder = [EncoderLayer(width, heads, hidden) for _ in range(layers)]
        self.decoder = [DecoderLayer(width, heads, hidden) for _ in range(layers)]
        self.encoder_norm, self.decoder_norm = _norm(), _norm()

    def call(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, self.encode(source), source)

    def encode(self, source: Tensor) -> Tensor:
        x = self._embed(source)
        for layer in self.encoder:
            x = layer(x, _not_padding(source))
        return self.encoder_norm(x)

    def decode(self, target: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        x, mask = self._embed(target), causal_mask(target.shape[1])
        for layer in self.decoder:
            x = layer(x, mask, memory, _not_padding(source))
        return tf.matmul(self.decoder_norm(x), self.embedding.embeddings, transpose_b=True)

    def _embed(self, ids: Tensor) -> Tensor:
        width = self.embedding.output_dim
        return self.embedding(ids) * width**0.5 + waves(ids.shape[1], width)


def _norm() -> keras.layers.Layer:
    return keras.layers.LayerNormalization(epsilon=1e-5)  # Keras' own default is 1e-3


def _not_padding(source: Tensor) -> Tensor:
    """(B, 1, 1, S): the same for every head and every position that looks."""
    return (source != PAD)[:, None, None, :]


def train(
    model: Transformer,
    sources: Tensor,
    targets: Tensor,
    updates: int,
    batch: int = 64,
    learning_rate: float = 8e-3,
) -> list[float]:
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(learning_rate, updates, 0.0))
    model(sources[:1], shift_right(targets[:1]))  # makes the weights, outside of the graph
    optimizer.build(model.trainable_variables)

    def update() -> Tensor:
        drawn = tf.random.shuffle(tf.range(len(sources)))[:batch]
        source, target = tf.gather(sources, drawn), tf.gather(targets, drawn)
        with tf.GradientTape() as tape:
            loss = translation_loss(model(source, shift_right(target)), target)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    if updates > 5:  # a trace costs as much as five updates
        update = tf.function(update, autograph=False)
    return [float(update()) for _ in range(updates)]


def translate(model: Transformer, source: Tensor, longest: int) -> Tensor:
    memory = model.encode(source)
    read = tf.ones_like(source[:, :1]) * BOS
    for _ in range(longest):
        chosen = tf.argmax(model.decode(read, memory, source)[:, -1:], axis=-1, output_type=read.dtype)
        ended = tf.reduce_any(read == EOS, axis=1, keepdims=True)
        read = tf.concat([read, tf.where(ended, tf.cast(PAD, read.dtype), chosen)], axis=1)
    return read[:, 1:]
