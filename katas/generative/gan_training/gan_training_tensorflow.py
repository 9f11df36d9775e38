"""Training a generative adversarial network, in TensorFlow.

A generator turns noise into points that should look real; a discriminator learns to tell them from real ones, and the
generator learns from nothing but the discriminator's gradient (Goodfellow et al. 2014). Both are trained in turns. What
goes wrong is the classic question: a generator that covers a few modes of the data fools the discriminator well enough.
So train on a ring of eight Gaussians, where covered modes can be counted, and then on images.

Levels     1 the networks · 2 the losses · 3 the discriminator's turn · 4 the generator's turn · 5 modes counted ·
           6 the ring · 7 digits
Check      pytest -k gan_training
"""

from collections.abc import Iterable

import keras
from tensorflow import Tensor


class Generator(keras.Model):
    """Noise to points: first, leaky ReLU, second, leaky ReLU, last.

    The leaky ReLU multiplies what is negative by 0.2. first, second and last are keras.layers.Dense, and
    start as Keras starts them.
    """

    def __init__(self, latent: int, hidden: int, features: int, bounded: bool = False):
        """Make the layers.

        Args:
            latent: the width of the noise.
            hidden: that of both hidden layers.
            features: that of the points.
            bounded: whether a tanh comes last, for images with values from -1 to 1.
        """
        raise NotImplementedError("Generator.__init__ is yours to write")

    def call(self, noise: Tensor, training: bool = False) -> Tensor:
        """Points (batch, features) from noise (batch, latent). training makes no difference."""
        raise NotImplementedError("Generator.call is yours to write")


class Discriminator(keras.Model):
    """Points to logits, positive for real: first, leaky ReLU, second, leaky ReLU, last, as in the generator."""

    def __init__(self, features: int, hidden: int):
        """Make the layers.

        Args:
            features: the width of the points.
            hidden: that of both hidden layers.
        """
        raise NotImplementedError("Discriminator.__init__ is yours to write")

    def call(self, points: Tensor, training: bool = False) -> Tensor:
        """Logits (batch, 1) from points (batch, features): no sigmoid behind them. training makes no difference."""
        raise NotImplementedError("Discriminator.call is yours to write")


def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "non_saturating") -> Tensor:
    """What the discriminator makes small.

    "non_saturating"   mean of −log σ(real) + mean of −log(1 − σ(fake)), with the sigmoid σ (Goodfellow et al. 2014)
    "least_squares"    ½ mean of (real − 1)² + ½ mean of fake² (Mao et al. 2017)

    Args:
        real: the logits of real points, of any shape. Logits may be as large as 1000 either way, and loss and
            gradient are right and finite all the same.
        fake: the logits of generated points; there may be more or fewer of them.
        kind: one of the two.

    Returns:
        The loss, without axes, in the dtype of the logits.

    Raises:
        ValueError: another kind.
    """
    raise NotImplementedError("discriminator_loss is yours to write")


def generator_loss(fake: Tensor, kind: str = "non_saturating") -> Tensor:
    """What the generator makes small.

    "non_saturating"   mean of −log σ(fake): unlike log(1 − σ(fake)) it has a gradient where the generator is bad
    "least_squares"    ½ mean of (fake − 1)²

    Args:
        fake, kind: as in `discriminator_loss`.

    Returns:
        The loss, without axes, in the dtype of the logits.

    Raises:
        ValueError: another kind.
    """
    raise NotImplementedError("generator_loss is yours to write")


def discriminator_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: keras.optimizers.Optimizer,
    real: Tensor,
    noise: Tensor,
    kind: str = "non_saturating",
) -> float:
    """One step of the discriminator. The generator is not changed, and no gradient is computed for its weights.

    Args:
        generator: makes the fake points.
        discriminator: learns.
        optimizer: for the discriminator's weights; it may not be built yet.
        real: (batch, features).
        noise: (batch, latent), for the fake points.
        kind: of the loss.

    Returns:
        The loss before the step, as a float.
    """
    raise NotImplementedError("discriminator_step is yours to write")


def generator_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: keras.optimizers.Optimizer,
    noise: Tensor,
    kind: str = "non_saturating",
) -> float:
    """One step of the generator. The gradient passes through the discriminator, whose weights are not changed.

    Args:
        generator: learns.
        discriminator: judges the fake points.
        optimizer: for the generator's weights; it may not be built yet.
        noise: (batch, latent).
        kind: of the loss.

    Returns:
        The loss before the step, as a float.
    """
    raise NotImplementedError("generator_step is yours to write")


def train(
    generator: Generator,
    discriminator: Discriminator,
    batches: Iterable[Tensor],
    latent: int,
    learning_rate: float,
    kind: str = "non_saturating",
) -> list[tuple[float, float]]:
    """For each batch one step of the discriminator and then one of the generator.

    Each step has new noise from N(0, 1), as many rows as the batch has; both optimisers are Adam with β₁ = 0.5 (Radford
    et al. 2016), which forgets the other player's former moves sooner than 0.9. There are hundreds of small
    steps: let tf.function trace them.

    Args:
        generator, discriminator: learn.
        batches: real points (batch, features), gone through once.
        latent: the width of the noise.
        learning_rate: of both optimisers.
        kind: of the losses.

    Returns:
        The discriminator's and the generator's loss of each batch, before their steps, as floats.
    """
    raise NotImplementedError("train is yours to write")


def modes_covered(samples: Tensor, centres: Tensor, radius: float, share: float) -> int:
    """How many modes a generator covers.

    A sample belongs to the centre that is nearest, if its distance to it is at most `radius`; otherwise to none. A mode
    is covered if at least the share `share` of all samples belong to it.

    Args:
        samples: (n, features).
        centres: (modes, features).
        radius: of the disc around a centre.
        share: of all samples, those that belong to no centre included.

    Returns:
        The number of covered modes, as an int.
    """
    raise NotImplementedError("modes_covered is yours to write")
