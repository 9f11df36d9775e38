"""Additive attention, in TensorFlow.

Two axes are put in so that every query meets every key, (B, T, 1, units) + (B, 1, S, units); tanh and one more dense
layer make a score of each pair. The trap is a sequence of nothing but padding: with minus infinity its softmax would be
nan, so padding gets the lowest finite score, and weight zero after the softmax once more, which changes such rows only.
The layers are built at once: a Dense layer left alone would take the first width that comes for the right one.
"""

import tensorflow as tf
from tensorflow import Tensor, keras


class BahdanauAttention(keras.layers.Layer):
    def __init__(self, query_size: int, memory_size: int, units: int):
        super().__init__()
        self.query_layer = keras.layers.Dense(units, use_bias=False)
        self.memory_layer = keras.layers.Dense(units, use_bias=False)
        self.score_layer = keras.layers.Dense(1, use_bias=False)
        self.query_layer.build((query_size,))
        self.memory_layer.build((memory_size,))
        self.score_layer.build((units,))

    def project(self, memory: Tensor) -> Tensor:
        return self.memory_layer(memory)

    def call(
        self, query: Tensor, memory: Tensor, real: Tensor | None = None, keys: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        self._check(query, memory, real, keys)
        keys = self.project(memory) if keys is None else keys
        hidden = tf.tanh(self.query_layer(query)[:, :, None] + keys[:, None])
        scores = tf.squeeze(self.score_layer(hidden), axis=-1)
        if real is None:
            weights = tf.nn.softmax(scores)
        else:
            real = real[:, None]
            weights = tf.nn.softmax(tf.where(real, scores, scores.dtype.min)) * tf.cast(real, scores.dtype)
        return weights @ memory, weights

    def _check(self, query: Tensor, memory: Tensor, real: Tensor | None, keys: Tensor | None) -> None:
        batch, length = memory.shape[:2]
        for name, tensor, shape in (
            ("query", query, (batch, query.shape[1], self.query_layer.kernel.shape[0])),
            ("memory", memory, (batch, length, self.memory_layer.kernel.shape[0])),
            ("real", real, (batch, length)),
            ("keys", keys, (batch, length, self.memory_layer.units)),
        ):
            if tensor is not None and tensor.shape != shape:
                raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, not {shape}")
