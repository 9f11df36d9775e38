"""Both functions carry their own backward pass: the one of softmax is its product with the Jacobian.

Half precision is widened to float32 inside, as kernels do it.
"""

import tensorflow as tf


def softmax(logits, axis=-1, temperature=1.0):
    @tf.custom_gradient
    def run(z):
        probabilities = tf.cast(_stable(z, axis, temperature)[0], z.dtype)
        return probabilities, lambda upstream: softmax_jvp(probabilities, upstream, axis, temperature)

    return run(logits)


def log_softmax(logits, axis=-1, temperature=1.0):
    @tf.custom_gradient
    def run(z):
        probabilities, logarithms = (tf.cast(t, z.dtype) for t in _stable(z, axis, temperature))

        def backward(upstream):
            return (upstream - probabilities * tf.reduce_sum(upstream, axis, keepdims=True)) / temperature

        return logarithms, backward

    return run(logits)


def _stable(logits, axis, temperature):
    if temperature <= 0:
        raise ValueError(f"temperature {temperature} is not positive")
    wide = tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits
    top = tf.reduce_max(wide, axis, keepdims=True)
    scores = (wide - tf.where(tf.math.is_inf(top), tf.zeros_like(top), top)) / temperature
    weights = tf.exp(scores)
    total = tf.reduce_sum(weights, axis, keepdims=True)
    total = tf.where(total == 0, tf.ones_like(total), total)
    return tf.math.divide_no_nan(weights, total), scores - tf.math.log(total)


def softmax_jvp(probabilities, vector, axis=-1, temperature=1.0):
    if probabilities.shape.as_list() != vector.shape.as_list() or temperature <= 0:
        raise ValueError("shapes differ, or the temperature is not positive")
    share = probabilities * vector
    return (share - probabilities * tf.reduce_sum(share, axis, keepdims=True)) / temperature
