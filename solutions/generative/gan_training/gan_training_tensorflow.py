"""Training a generative adversarial network, in TensorFlow.

The losses are softplus of logits: −log σ(x) = softplus(−x), −log(1 − σ(x)) = softplus(x), which no size of logit harms.
The traps lie between the two players. Fake points are made outside the tape in the discriminator's turn. In the
generator's turn the gradient must pass through the discriminator, and is taken for the generator's weights alone. Each
player has an optimiser of its own. Hundreds of small steps are worth a trace, once for all batches.
"""

from collections.abc import Iterable

import keras
import tensorflow as tf
from tensorflow import Tensor


class _Perceptron(keras.Model):
    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.first, self.second = keras.layers.Dense(hidden), keras.layers.Dense(hidden)
        self.last = keras.layers.Dense(outputs)
        for layer, width in ((self.first, inputs), (self.second, hidden), (self.last, hidden)):
            layer.build((None, width))

    def call(self, x: Tensor) -> Tensor:
        h = tf.nn.leaky_relu(self.first(x), 0.2)
        return self.last(tf.nn.leaky_relu(self.second(h), 0.2))


class Generator(_Perceptron):
    def __init__(self, latent: int, hidden: int, features: int, bounded: bool = False):
        super().__init__(latent, hidden, features)
        self.bounded = bounded

    def call(self, noise: Tensor, training: bool = False) -> Tensor:
        points = super().call(noise)
        return tf.tanh(points) if self.bounded else points


class Discriminator(_Perceptron):
    def __init__(self, features: int, hidden: int):
        super().__init__(features, hidden, 1)

    def call(self, points: Tensor, training: bool = False) -> Tensor:
        return super().call(points)


def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "non_saturating") -> Tensor:
    if kind == "non_saturating":
        return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
    if kind == "least_squares":
        return tf.reduce_mean((real - 1) ** 2) / 2 + tf.reduce_mean(fake**2) / 2
    raise ValueError(f"the kind is 'non_saturating' or 'least_squares', not {kind!r}")


def generator_loss(fake: Tensor, kind: str = "non_saturating") -> Tensor:
    if kind == "non_saturating":
        return tf.reduce_mean(tf.nn.softplus(-fake))
    if kind == "least_squares":
        return tf.reduce_mean((fake - 1) ** 2) / 2
    raise ValueError(f"the kind is 'non_saturating' or 'least_squares', not {kind!r}")


def discriminator_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: keras.optimizers.Optimizer,
    real: Tensor,
    noise: Tensor,
    kind: str = "non_saturating",
) -> float:
    return float(_judge(generator, discriminator, optimizer, real, noise, kind))


def generator_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: keras.optimizers.Optimizer,
    noise: Tensor,
    kind: str = "non_saturating",
) -> float:
    return float(_make(generator, discriminator, optimizer, noise, kind))


def train(
    generator: Generator,
    discriminator: Discriminator,
    batches: Iterable[Tensor],
    latent: int,
    learning_rate: float,
    kind: str = "non_saturating",
) -> list[tuple[float, float]]:
    for_generator, for_discriminator = (keras.optimizers.Adam(learning_rate, beta_1=0.5) for _ in range(2))
    for_generator.build(generator.trainable_variables)
    for_discriminator.build(discriminator.trainable_variables)

    @tf.function(reduce_retracing=True)
    def both(real: Tensor) -> tuple[Tensor, Tensor]:
        noise = tf.random.normal((2, tf.shape(real)[0], latent))
        judged = _judge(generator, discriminator, for_discriminator, real, noise[0], kind)
        return judged, _make(generator, discriminator, for_generator, noise[1], kind)

    return [tuple(map(float, both(real))) for real in batches]


def modes_covered(samples: Tensor, centres: Tensor, radius: float, share: float) -> int:
    distances = tf.norm(samples[:, None] - centres, axis=-1)
    within = tf.reduce_min(distances, axis=1) <= radius
    nearest = tf.boolean_mask(tf.argmin(distances, axis=1, output_type=tf.int32), within)
    counts = tf.math.bincount(nearest, minlength=len(centres))
    return sum(int(count) >= share * len(samples) for count in counts)


def _judge(generator, discriminator, optimizer, real: Tensor, noise: Tensor, kind: str) -> Tensor:
    fake = generator(noise)
    with tf.GradientTape() as tape:
        loss = discriminator_loss(discriminator(real), discriminator(fake), kind)
    variables = discriminator.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return loss


def _make(generator, discriminator, optimizer, noise: Tensor, kind: str) -> Tensor:
    with tf.GradientTape() as tape:
        loss = generator_loss(discriminator(generator(noise)), kind)
    variables = generator.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return loss
