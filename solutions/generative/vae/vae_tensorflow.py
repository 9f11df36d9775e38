"""A variational autoencoder, in TensorFlow.

Noise that depends on nothing, scaled and moved, lets the gradient through a random draw. The divergence of two normal
distributions has a closed form, so only the reconstruction is sampled. The traps: both terms are sums for each
picture, or one drowns the other; the deviation is exp(log_variance / 2), which has a gradient where the square root of
the variance has none; sigmoid and logarithm belong together, in the loss; and weights as small as e^−1000 exist only
as logarithms.
"""

import math
from collections.abc import Iterable

import keras
import tensorflow as tf
from tensorflow import Tensor


class VAE(keras.Model):
    def __init__(self, features: int, hidden: int, latent: int):
        super().__init__()
        self.encoder = keras.layers.Dense(hidden)
        self.mean = keras.layers.Dense(latent)
        self.log_variance = keras.layers.Dense(latent)
        self.decoder = keras.layers.Dense(hidden)
        self.pixels = keras.layers.Dense(features)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = tf.nn.relu(self.encoder(x))
        return self.mean(h), self.log_variance(h)

    def decode(self, z: Tensor) -> Tensor:
        return self.pixels(tf.nn.relu(self.decoder(z)))

    def call(self, x: Tensor, training: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x)
        return self.decode(reparameterize(mean, log_variance)), mean, log_variance


def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor | None = None) -> Tensor:
    noise = tf.random.normal(tf.shape(mean), dtype=mean.dtype) if noise is None else noise
    return mean + tf.exp(log_variance / 2) * noise


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    return tf.reduce_sum(mean**2 + tf.exp(log_variance) - log_variance - 1, axis=-1) / 2


def reconstruction_loss(logits: Tensor, x: Tensor) -> Tensor:
    x = tf.broadcast_to(x, tf.shape(logits))
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(x, logits), axis=-1)


def vae_loss(logits: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor, beta: float = 1.0) -> Tensor:
    return tf.reduce_mean(reconstruction_loss(logits, x) + beta * kl_divergence(mean, log_variance))


def log_likelihood(model: VAE, x: Tensor, noise: Tensor) -> Tensor:
    mean, log_variance = model.encode(x)
    z = reparameterize(mean, log_variance, noise)
    log_ratio = tf.reduce_sum(noise**2 + log_variance - z**2, axis=-1) / 2  # log p(z) - log q(z|x): the 2π cancel
    log_weights = log_ratio - reconstruction_loss(model.decode(z), x)
    return tf.reduce_logsumexp(log_weights, axis=0) - math.log(len(noise))


def train(model: VAE, batches: Iterable[Tensor], learning_rate: float, beta: float = 1.0) -> list[float]:
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(x: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            logits, mean, log_variance = model(x, training=True)
            loss = vae_loss(logits, x, mean, log_variance, beta)
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return [float(step(x)) for x in batches]


def sample(model: VAE, count: int) -> Tensor:
    return tf.sigmoid(model.decode(tf.random.normal((count, model.mean.units))))
