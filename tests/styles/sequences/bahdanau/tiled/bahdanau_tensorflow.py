"""Query and memory tiled and joined: one product with both matrices, one over the other, makes the hidden layer."""

import tensorflow as tf
from tensorflow import keras


class BahdanauAttention(keras.layers.Layer):
    def __init__(self, query_size, memory_size, units):
        super().__init__()
        self.sizes = query_size, memory_size, units
        for name, inputs, outputs in (
            ("query_layer", query_size, units),
            ("memory_layer", memory_size, units),
            ("score_layer", units, 1),
        ):
            layer = keras.layers.Dense(outputs, use_bias=False, name=name)
            layer.build([None, inputs])
            setattr(self, name, layer)

    def project(self, memory):
        return tf.tensordot(memory, self.memory_layer.kernel, 1)

    def call(self, query, memory, real=None, keys=None):
        query_size, memory_size, units = self.sizes
        batch, steps, length = query.shape[0], query.shape[1], memory.shape[1]
        if query.shape[2] != query_size or memory.shape != [batch, length, memory_size]:
            raise ValueError("query and memory do not fit")
        if real is not None and real.shape != [batch, length]:
            raise ValueError("real does not fit")
        if keys is not None and keys.shape != [batch, length, units]:
            raise ValueError("the keys do not fit")

        asked = tf.tile(tf.expand_dims(query, 2), [1, 1, length, 1])
        if keys is None:
            offered = tf.tile(tf.expand_dims(memory, 1), [1, steps, 1, 1])
            kernel = tf.concat([self.query_layer.kernel.value, self.memory_layer.kernel.value], axis=0)
            hidden = tf.tensordot(tf.concat([asked, offered], axis=-1), kernel, 1)
        else:
            hidden = self.query_layer(asked) + tf.expand_dims(keys, 1)
        energy = tf.reduce_sum(tf.tanh(hidden) * self.score_layer.kernel[:, 0], axis=-1)
        if real is None:
            return self.mix(tf.nn.softmax(energy, axis=-1), memory)
        blocked = tf.broadcast_to(tf.expand_dims(~real, 1), energy.shape)
        nothing = tf.reduce_all(blocked, axis=-1, keepdims=True)
        energy = tf.where(blocked, tf.where(nothing, tf.zeros_like(energy), -float("inf")), energy)
        return self.mix(tf.where(blocked, tf.zeros_like(energy), tf.nn.softmax(energy, axis=-1)), memory)

    def mix(self, weights, memory):
        return tf.linalg.matmul(weights, memory), weights
