"""Each end of p has its own return; stateless random numbers, from a seed that the generator makes."""

import tensorflow as tf


def with_noise_shape(x, p, generator, training, noise_shape):
    if not (p >= 0 and p <= 1):
        raise ValueError(f"{p} is no probability")
    if not training or p == 0:
        return x, tf.cast(tf.fill(noise_shape, 1.0), x.dtype)
    if p == 1:
        return tf.zeros_like(x) * x, tf.cast(tf.fill(noise_shape, 0.0), x.dtype)
    seed = generator.make_seeds(1)[:, 0]
    survives = tf.random.stateless_uniform(noise_shape, seed) < 1 - p
    mask = tf.cast(survives, x.dtype) * tf.constant(1 / (1 - p), x.dtype)
    return tf.multiply(x, mask), mask


def dropout(x, p, generator, training=True):
    return with_noise_shape(x, p, generator, training, x.shape)


def dropout_backward(grad, mask):
    return tf.multiply(grad, mask)


def spatial_dropout(x, p, generator, training=True):
    match x.shape.as_list():
        case [n, _, _, c]:
            return with_noise_shape(x, p, generator, training, (n, 1, 1, c))
    raise ValueError("not images")


def variational_dropout(x, p, generator, training=True):
    match x.shape.as_list():
        case [n, _, d]:
            return with_noise_shape(x, p, generator, training, (n, 1, d))
    raise ValueError("not sequences")


def monte_carlo(model, x, passes):
    if passes < 2:
        raise ValueError("not enough passes")
    predictions = tf.stack([model(x, training=True) for _ in range(passes)], axis=-1)
    mean = tf.reduce_mean(predictions, -1)
    return mean, tf.norm(predictions - mean[..., None], axis=-1) / (passes - 1) ** 0.5
