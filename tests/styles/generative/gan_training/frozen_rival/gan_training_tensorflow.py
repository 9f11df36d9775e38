"""Matrix products on the layers' own variables, losses by log_sigmoid, one tape with both losses in training."""

import keras
import tensorflow as tf


class _Net(keras.Model):
    def __init__(self, *widths):
        super().__init__()
        for name, before, after in zip(("first", "second", "last"), widths, widths[1:], strict=False):
            layer = keras.layers.Dense(after)
            layer.build((None, before))
            setattr(self, name, layer)

    def logits(self, x):
        for layer in (self.first, self.second):
            x = tf.matmul(x, layer.kernel) + layer.bias
            x = tf.where(x > 0, x, 0.2 * x)
        return tf.matmul(x, self.last.kernel) + self.last.bias


class Generator(_Net):
    def __init__(self, latent, hidden, features, bounded=False):
        super().__init__(latent, hidden, hidden, features)
        self.squash = keras.ops.tanh if bounded else tf.identity

    def call(self, noise, training=False):
        return self.squash(self.logits(noise))


class Discriminator(_Net):
    def __init__(self, features, hidden):
        super().__init__(features, hidden, hidden, 1)

    def call(self, points, training=False):
        return self.logits(points)


def discriminator_loss(real, fake, kind="non_saturating"):
    match kind:
        case "non_saturating":
            return -(tf.reduce_mean(tf.math.log_sigmoid(real)) + tf.reduce_mean(tf.math.log_sigmoid(-fake)))
        case "least_squares":
            return 0.5 * (tf.reduce_mean(tf.square(real - 1)) + tf.reduce_mean(tf.square(fake)))
    raise ValueError(kind)


def generator_loss(fake, kind="non_saturating"):
    match kind:
        case "non_saturating":
            return -tf.reduce_mean(tf.math.log_sigmoid(fake))
        case "least_squares":
            return 0.5 * tf.reduce_mean(tf.square(fake - 1))
    raise ValueError(kind)


def _turn(player, optimizer, loss_of):
    with tf.GradientTape() as tape:
        loss = loss_of()
    optimizer.apply(tape.gradient(loss, player.trainable_weights), player.trainable_weights)
    return loss


def _judge(generator, discriminator, optimizer, real, noise, kind):
    count = tf.shape(real)[0]

    def loss_of():
        logits = discriminator(tf.concat([real, generator(noise)], axis=0))
        return discriminator_loss(logits[:count], logits[count:], kind)

    return _turn(discriminator, optimizer, loss_of)


def discriminator_step(generator, discriminator, optimizer, real, noise, kind="non_saturating"):
    return float(_judge(generator, discriminator, optimizer, real, noise, kind))


def generator_step(generator, discriminator, optimizer, noise, kind="non_saturating"):
    return float(_turn(generator, optimizer, lambda: generator_loss(discriminator(generator(noise)), kind)))


def train(generator, discriminator, batches, latent, learning_rate, kind="non_saturating"):
    options = {"learning_rate": learning_rate, "beta_1": 0.5}
    makes, judges = keras.optimizers.Adam(**options), keras.optimizers.Adam(**options)
    makes.build(generator.trainable_weights)
    judges.build(discriminator.trainable_weights)

    def one(real):
        size = (tf.shape(real)[0], latent)
        judged = _judge(generator, discriminator, judges, real, tf.random.normal(size), kind)
        noise = tf.random.normal(size)
        made = _turn(generator, makes, lambda: generator_loss(discriminator(generator(noise)), kind))
        return tf.stack([judged, made])

    one = tf.function(one, reduce_retracing=True)
    return [tuple(one(real).numpy().tolist()) for real in batches]


def modes_covered(samples, centres, radius, share):
    squares = tf.reduce_sum((samples[:, None] - centres) ** 2, axis=2)
    mine = tf.one_hot(tf.argmin(squares, axis=1), centres.shape[0]) * tf.cast(squares <= radius**2, "float32")
    return int(tf.math.count_nonzero(tf.reduce_mean(mine, axis=0) >= share))
