"""Layers that bring their ReLUs along, densities written out, a loop over the draws, and a traced gradient."""

import math

import keras
import tensorflow as tf

LOG_TWO_PI = math.log(2 * math.pi)


class VAE(keras.layers.Layer):
    def __init__(self, features, hidden, latent):
        super().__init__()
        self.latent = latent
        self.encoder = keras.layers.Dense(hidden, activation="relu")
        self.mean, self.log_variance = keras.layers.Dense(latent), keras.layers.Dense(latent)
        self.decoder = keras.layers.Dense(hidden, activation="relu")
        self.pixels = keras.layers.Dense(features)

    def encode(self, x):
        h = self.encoder(x)
        return [head(h) for head in (self.mean, self.log_variance)]

    def decode(self, z):
        return self.pixels(self.decoder(z))

    def call(self, x, training=False):
        mean, log_variance = self.encode(x)
        return self.decode(reparameterize(mean, log_variance)), mean, log_variance


def reparameterize(mean, log_variance, noise=None):
    if noise is None:
        noise = tf.random.stateless_normal(mean.shape, keras.random.randint((2,), 0, 2**30), dtype=mean.dtype)
    return keras.ops.add(mean, keras.ops.multiply(keras.ops.exp(0.5 * log_variance), noise))


def kl_divergence(mean, log_variance):
    return -0.5 * keras.ops.sum(1 + log_variance - keras.ops.square(mean) - keras.ops.exp(log_variance), axis=-1)


def reconstruction_loss(logits, x):
    return keras.ops.sum(keras.ops.softplus(logits) - logits * x, axis=-1)


def vae_loss(logits, x, mean, log_variance, beta=1.0):
    terms = reconstruction_loss(logits, x), beta * kl_divergence(mean, log_variance)
    return keras.ops.mean(terms[0]) + keras.ops.mean(terms[1])


def _log_density(z, mean, log_variance):
    return -0.5 * tf.reduce_sum(LOG_TWO_PI + log_variance + (z - mean) ** 2 * tf.exp(-log_variance), -1)


def log_likelihood(model, x, noise):
    mean, log_variance = model.encode(x)
    found = []
    for drawn in tf.unstack(noise):
        z = reparameterize(mean, log_variance, drawn)
        prior = _log_density(z, tf.zeros_like(z), tf.zeros_like(z))
        found.append(prior - _log_density(z, mean, log_variance) - reconstruction_loss(model.decode(z), x))
    highest = tf.reduce_max(found, axis=0)
    return highest + tf.math.log(tf.reduce_mean(tf.exp(tf.stack(found) - highest), axis=0))


def train(model, batches, learning_rate, beta=1.0):
    optimizer, losses = keras.optimizers.Adam(learning_rate), []

    @tf.function
    def slopes(x):
        with tf.GradientTape() as tape:
            logits, *code = model(x)
            loss = vae_loss(logits, x, *code, beta=beta)
        return loss, tape.gradient(loss, model.trainable_variables)

    for x in batches:
        loss, gradients = slopes(x)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses.append(loss.numpy().item())
    return losses


def sample(model, count):
    return keras.activations.sigmoid(model.decode(keras.random.normal((count, model.latent))))
