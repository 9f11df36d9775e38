"""Every branch goes through one helper that normalises before and adds after; the operations are those of Keras."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

PAD, BOS, EOS = 0, 1, 2


def shift_right(target):
    return ops.concatenate([ops.full_like(target[:, :1], BOS), target[:, :-1]], axis=1)


def causal_mask(length):
    return ops.expand_dims(ops.arange(length), 1) >= ops.arange(length)


def translation_loss(logits, target):
    words = ops.cast(ops.not_equal(target, PAD), logits.dtype)
    losses = keras.losses.sparse_categorical_crossentropy(target, logits, from_logits=True)
    return ops.sum(losses * words) / ops.sum(words)


def waves(length, width):
    column = np.arange(width)
    angles = np.arange(length)[:, None] / np.power(10_000.0, (column - column % 2) / width)
    return tf.constant(np.where(column % 2 == 0, np.sin(angles), np.cos(angles)), tf.float32)


class Attention(layers.Layer):
    def __init__(self, width, heads):
        super().__init__()
        if width % heads:
            raise ValueError("the heads must share the width evenly")
        self.heads, self.depth = heads, width // heads
        for name in ("query", "key", "value", "mix"):
            setattr(self, name, layers.Dense(width))

    def call(self, x, memory, mask):
        def split(t):
            return ops.reshape(t, (-1, t.shape[1], self.heads, self.depth))

        q, k, v = split(self.query(x)), split(self.key(memory)), split(self.value(memory))
        scores = ops.einsum("bihd,bjhd->bhij", q, k) / np.sqrt(self.depth).astype("float32")
        looks = ops.softmax(scores + ops.cast(ops.logical_not(mask), scores.dtype) * -1e9)
        return self.mix(ops.reshape(ops.einsum("bhij,bjhd->bihd", looks, v), (-1, *x.shape[1:])))


class EncoderLayer(layers.Layer):
    norms = ("norm1", "norm2")

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = Attention(width, heads)
        self.expand, self.contract = layers.Dense(hidden), layers.Dense(width)
        for name in self.norms:
            setattr(self, name, layers.LayerNormalization(epsilon=1e-5))

    @staticmethod
    def around(x, norm, branch):
        return x + branch(norm(x))

    def feed(self, x):
        return self.contract(ops.relu(self.expand(x)))

    def call(self, x, mask):
        x = self.around(x, self.norm1, lambda h: self.attention(h, h, mask))
        return self.around(x, self.norm2, self.feed)


class DecoderLayer(EncoderLayer):
    norms = ("norm1", "norm2", "norm3")

    def __init__(self, width, heads, hidden):
        super().__init__(width, heads, hidden)
        self.cross = Attention(width, heads)

    def call(self, x, mask, memory, memory_mask):
        x = self.around(x, self.norm1, lambda h: self.attention(h, h, mask))
        x = self.around(x, self.norm2, lambda h: self.cross(h, memory, memory_mask))
        return self.around(x, self.norm3, self.feed)


class Transformer(keras.Model):
    def __init__(self, vocabulary, width=32, heads=4, hidden=64, layers=1):
        super().__init__()
        self.width = width
        self.embedding = keras.layers.Embedding(
            vocabulary, width, keras.initializers.RandomNormal(0.0, 1 / np.sqrt(width))
        )
        self.encoder, self.decoder = [], []
        for _ in range(layers):
            self.encoder.append(EncoderLayer(width, heads, hidden))
            self.decoder.append(DecoderLayer(width, heads, hidden))
        self.encoder_norm = keras.layers.LayerNormalization(epsilon=1e-5)
        self.decoder_norm = keras.layers.LayerNormalization(epsilon=1e-5)

    def tokens(self, ids):
        return self.embedding(ids) * np.sqrt(self.width).astype("float32") + waves(ids.shape[1], self.width)

    def encode(self, source):
        words, x = ops.reshape(ops.not_equal(source, PAD), (-1, 1, 1, source.shape[1])), self.tokens(source)
        for layer in self.encoder:
            x = layer(x, words)
        return self.encoder_norm(x)

    def decode(self, target, memory, source):
        words, x = ops.reshape(ops.not_equal(source, PAD), (-1, 1, 1, source.shape[1])), self.tokens(target)
        for layer in self.decoder:
            x = layer(x, causal_mask(target.shape[1]), memory, words)
        return ops.matmul(self.decoder_norm(x), ops.transpose(self.embedding.embeddings))

    def call(self, source, target):
        return self.decode(target, self.encode(source), source)


def train(model, sources, targets, updates, batch=64, learning_rate=8e-3):
    optimizer, read = keras.optimizers.Adam(learning_rate), shift_right(targets)
    generator = np.random.default_rng()

    @tf.function
    def update(source, before, wanted):
        with tf.GradientTape() as tape:
            loss = translation_loss(model(source, before), wanted)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    losses = []
    for number in range(updates):
        optimizer.learning_rate = learning_rate * (1 - number / updates)
        chosen = generator.permutation(len(sources))[:batch]
        losses.append(update(*(tf.gather(ids, chosen) for ids in (sources, read, targets))).numpy().item())
    return losses


def translate(model, source, longest):
    memory = model.encode(source)
    written = np.full((len(source), longest + 1), PAD)
    written[:, 0] = BOS
    for place in range(longest):
        logits = model.decode(tf.constant(written[:, : place + 1]), memory, source)
        best = logits.numpy()[:, place].argmax(axis=-1)
        written[:, place + 1] = np.where(np.any(written == EOS, axis=1), PAD, best)
    return tf.constant(written[:, 1:])
