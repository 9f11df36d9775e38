"""Every product an einsum over named axes; the softmax as exp(score − logsumexp of the real scores)."""

import tensorflow as tf
from tensorflow import einsum, keras


class BahdanauAttention(keras.Model):
    def __init__(self, query_size: int, memory_size: int, units: int):
        super().__init__()
        self.query_layer, self.memory_layer, self.score_layer = layers = [
            keras.layers.Dense(width, use_bias=False) for width in (units, units, 1)
        ]
        for layer, inputs in zip(layers, (query_size, memory_size, units), strict=True):
            layer.build((1, inputs))

    def project(self, memory):
        return einsum("bsm,mu->bsu", memory, self.memory_layer.kernel.value)

    def call(self, query, memory, real=None, keys=None):
        for tensor, layer in ((query, self.query_layer), (memory, self.memory_layer)):
            if tensor.shape[-1] != layer.kernel.shape[0] or tensor.shape[0] != query.shape[0]:
                raise ValueError("wrong width, or another number of sequences")
        if real is not None and real.shape != memory.shape[:-1]:
            raise ValueError("one entry of real for each position")
        if keys is not None and tuple(keys.shape) != (*memory.shape[:-1], self.memory_layer.units):
            raise ValueError("one key for each position")

        keys = self.project(memory) if keys is None else keys
        asked = einsum("btq,qu->btu", query, self.query_layer.kernel.value)
        hidden = tf.math.tanh(asked[:, :, tf.newaxis, :] + keys[:, tf.newaxis, :, :])
        scores = einsum("btsu,uo->bts", hidden, self.score_layer.kernel.value)
        shared = tf.ones_like(scores, tf.bool)
        real = shared if real is None else shared & real[:, tf.newaxis, :]
        lowest = scores.dtype.min
        normaliser = tf.reduce_logsumexp(tf.where(real, scores, lowest), axis=-1, keepdims=True)
        weights = tf.exp(tf.where(real, scores - normaliser, lowest))
        return einsum("bts,bsm->btm", weights, memory), weights
