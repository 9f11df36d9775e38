"""Labels of ones and zeros for the losses of Keras, layers that bring their activations, a traced function a player."""

import keras
import numpy as np
import tensorflow as tf


def _net(model, hidden, outputs, end=None):
    model.first = keras.layers.Dense(hidden, activation=keras.layers.LeakyReLU(negative_slope=0.2))
    model.second = keras.layers.Dense(hidden, activation=keras.layers.LeakyReLU(negative_slope=0.2))
    model.last = keras.layers.Dense(outputs, activation=end)


class Generator(keras.layers.Layer):
    def __init__(self, latent, hidden, features, bounded=False):
        super().__init__()
        _net(self, hidden, features, "tanh" if bounded else None)

    def call(self, noise, training=False):
        return self.last(self.second(self.first(noise)))


class Discriminator(keras.layers.Layer):
    def __init__(self, features, hidden):
        super().__init__()
        _net(self, hidden, 1)

    def call(self, points, training=False):
        return self.last(self.second(self.first(points)))


def _criterion(kind, logits, label):
    labels = tf.fill(tf.shape(logits), tf.cast(label, logits.dtype))
    if kind == "non_saturating":
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
    if kind == "least_squares":
        return 0.5 * tf.reduce_mean(tf.math.squared_difference(labels, logits))
    raise ValueError(f"unknown kind {kind}")


def discriminator_loss(real, fake, kind="non_saturating"):
    return _criterion(kind, real, 1) + _criterion(kind, fake, 0)


def generator_loss(fake, kind="non_saturating"):
    return _criterion(kind, fake, 1)


def _slopes(player, loss_of):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in player.trainable_variables])
        loss = loss_of()
    return loss, tape.gradient(loss, [variable.value for variable in player.trainable_variables])


def _discriminator_slopes(generator, discriminator, real, noise, kind):
    fake = tf.stop_gradient(generator(noise))
    return _slopes(discriminator, lambda: discriminator_loss(discriminator(real), discriminator(fake), kind))


def _generator_slopes(generator, discriminator, noise, kind):
    return _slopes(generator, lambda: generator_loss(discriminator(generator(noise)), kind))


def discriminator_step(generator, discriminator, optimizer, real, noise, kind="non_saturating"):
    loss, slopes = _discriminator_slopes(generator, discriminator, real, noise, kind)
    optimizer.apply(slopes, discriminator.trainable_variables)
    return loss.numpy().item()


def generator_step(generator, discriminator, optimizer, noise, kind="non_saturating"):
    loss, slopes = _generator_slopes(generator, discriminator, noise, kind)
    optimizer.apply(slopes, generator.trainable_variables)
    return loss.numpy().item()


def train(generator, discriminator, batches, latent, learning_rate, kind="non_saturating"):
    adams = [keras.optimizers.Adam(learning_rate, beta_1=0.5) for _ in range(2)]
    for adam, player in zip(adams, (generator, discriminator), strict=True):
        adam.build(player.trainable_variables)

    @tf.function
    def judge(real, noise):
        loss, slopes = _discriminator_slopes(generator, discriminator, real, noise, kind)
        adams[1].apply(slopes, discriminator.trainable_variables)
        return loss

    @tf.function
    def make(noise):
        loss, slopes = _generator_slopes(generator, discriminator, noise, kind)
        adams[0].apply(slopes, generator.trainable_variables)
        return loss

    losses = []
    for real in batches:
        judged = judge(real, keras.random.normal((len(real), latent)))
        losses.append((judged.numpy().item(), make(keras.random.normal((len(real), latent))).numpy().item()))
    return losses


def modes_covered(samples, centres, radius, share):
    samples, centres = np.asarray(samples), np.asarray(centres)
    distances = np.sqrt(((samples[:, None] - centres[None]) ** 2).sum(-1))
    mine = np.eye(len(centres))[distances.argmin(1)] * (distances <= radius)
    return int(np.count_nonzero(mine.mean(0) >= share))
