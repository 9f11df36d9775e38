"""Matrix products on the layers' own variables, log_sigmoid for the pixels, all draws at once, a traced update."""

import keras
import tensorflow as tf


class VAE(keras.Model):
    def __init__(self, features, hidden, latent):
        super().__init__()
        sizes = {
            "encoder": (features, hidden),
            "mean": (hidden, latent),
            "log_variance": (hidden, latent),
            "decoder": (latent, hidden),
            "pixels": (hidden, features),
        }
        for name, (before, after) in sizes.items():
            layer = keras.layers.Dense(after, kernel_initializer="he_uniform")
            layer.build((None, before))
            setattr(self, name, layer)

    def encode(self, x):
        h = tf.maximum(tf.matmul(x, self.encoder.kernel) + self.encoder.bias, 0)
        return self.mean(h), self.log_variance(h)

    def decode(self, z):
        h = tf.maximum(tf.einsum("...l,lh->...h", z, self.decoder.kernel) + self.decoder.bias, 0)
        return tf.einsum("...h,hf->...f", h, self.pixels.kernel) + self.pixels.bias

    def call(self, x):
        mean, log_variance = self.encode(x)
        z = reparameterize(mean, log_variance, tf.random.normal(tf.shape(mean), dtype=mean.dtype))
        return self.decode(z), mean, log_variance


def reparameterize(mean, log_variance, noise=None):
    if noise is None:
        noise = keras.random.normal(mean.shape, dtype=mean.dtype)
    return mean + noise * tf.exp(log_variance * 0.5)


def kl_divergence(mean, log_variance):
    variance = tf.exp(log_variance)
    return tf.einsum("...l->...", 0.5 * (variance + mean * mean - 1 - log_variance))


def reconstruction_loss(logits, x):
    return -tf.reduce_sum(x * tf.math.log_sigmoid(logits) + (1 - x) * tf.math.log_sigmoid(-logits), -1)


def vae_loss(logits, x, mean, log_variance, beta=1.0):
    total = tf.reduce_sum(reconstruction_loss(logits, x)) + beta * tf.reduce_sum(kl_divergence(mean, log_variance))
    return total / tf.cast(tf.shape(x)[0], total.dtype)


def log_likelihood(model, x, noise):
    mean, log_variance = model.encode(x)
    deviation = tf.exp(log_variance / 2)
    z = mean + deviation * noise
    prior, posterior = -(z**2) / 2, -(noise**2) / 2 - tf.math.log(deviation)
    weights = tf.reduce_sum(prior - posterior, -1) - reconstruction_loss(model.decode(z), x)
    return keras.ops.logsumexp(weights, axis=0) - tf.math.log(float(noise.shape[0]))


def train(model, batches, learning_rate, beta=1.0):
    adam = keras.optimizers.AdamW(learning_rate, weight_decay=0.0)
    adam.build(model.trainable_weights)

    def loss_of(x):
        logits, mean, log_variance = model(x)
        return vae_loss(logits, x, mean, log_variance, beta)

    @tf.function
    def update(x):
        with tf.GradientTape() as tape:
            loss = loss_of(x)
        adam.apply(tape.gradient(loss, model.trainable_weights), model.trainable_weights)
        return loss

    losses = []
    for x in batches:
        losses.append(update(x).numpy().item())
    return losses


def sample(model, count):
    return tf.exp(tf.math.log_sigmoid(model.decode(keras.random.normal((count, model.decoder.kernel.shape[0])))))
