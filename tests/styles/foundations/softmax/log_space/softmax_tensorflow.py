"""Everything in the logarithm: the probabilities are exp of log_softmax. Slices without a choice are told by a mask."""

import tensorflow as tf


def softmax(logits, axis=-1, temperature=1.0):
    return tf.cast(tf.exp(log_softmax(tf.cast(logits, tf.float64), axis, temperature)), logits.dtype)


def log_softmax(logits, axis=-1, temperature=1.0):
    if not temperature > 0:
        raise ValueError("temperature must be positive")
    impossible = tf.equal(logits, float("-inf"))
    hopeless = tf.reduce_all(impossible, axis=axis, keepdims=True)
    safe = tf.where(hopeless, tf.zeros_like(logits), logits)
    safe = tf.cast(safe, tf.float32) if safe.dtype == tf.float16 else safe
    scores = (safe - tf.reduce_max(safe, axis=axis, keepdims=True)) / temperature
    result = scores - tf.math.log(tf.reduce_sum(tf.exp(scores), axis=axis, keepdims=True))
    return tf.where(impossible, tf.constant(float("-inf"), logits.dtype), tf.cast(result, logits.dtype))


def softmax_jvp(probabilities, vector, axis=-1, temperature=1.0):
    if vector.shape != probabilities.shape:
        raise ValueError("probabilities and vector must have one shape")
    if not temperature > 0:
        raise ValueError("temperature must be positive")
    dot = tf.reduce_sum(tf.multiply(probabilities, vector), axis=axis, keepdims=True)
    return (probabilities * vector - probabilities * dot) / temperature
