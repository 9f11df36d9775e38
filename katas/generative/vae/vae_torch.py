"""A variational autoencoder, in PyTorch.

A decoder turns latent variables z with prior N(0, 1) into pictures x of black and white pixels. log p(x) would take an
integral over all z, so an encoder guesses which z could have made x, as a normal distribution q(z|x) for each x, and
both are trained on a bound that needs only one z (Kingma and Welling 2014, "Auto-encoding variational Bayes"):

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ p(z))

Levels     1 the networks · 2 reparameterisation · 3 divergence · 4 the loss · 5 the bound · 6 learns
Off limits torch.distributions
Check      pytest -k vae
"""

from collections.abc import Iterable

from torch import Tensor, nn


class VAE(nn.Module):
    """Encoder and decoder, each with one hidden layer of ReLUs. The layers are nn.Linear, of these names:

    encoder       features → hidden, before a ReLU
    mean          hidden → latent
    log_variance  hidden → latent
    decoder       latent → hidden, before a ReLU
    pixels        hidden → features, the logits: no sigmoid behind it
    """

    def __init__(self, features: int, hidden: int, latent: int):
        """Make the layers.

        Args:
            features: the pixels of a picture.
            hidden: the width of both hidden layers.
            latent: the size of z.
        """
        raise NotImplementedError("VAE.__init__ is yours to write")

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the logarithm of the variance of q(z|x), each (batch, latent), from x (batch, features)."""
        raise NotImplementedError("VAE.encode is yours to write")

    def decode(self, z: Tensor) -> Tensor:
        """The logits of the pixels (..., features), from z (..., latent), which may have any number of axes before."""
        raise NotImplementedError("VAE.decode is yours to write")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw one z for each picture, decode.

        Args:
            x: (batch, features), each pixel in [0, 1].

        Returns:
            The logits (batch, features), the mean (batch, latent) and the logarithm of the variance (batch, latent).
        """
        raise NotImplementedError("VAE.forward is yours to write")


def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor | None = None) -> Tensor:
    """Draw z from N(mean, variance) such that gradients reach both: scale and move noise that depends on neither.

    Args:
        mean: (..., latent).
        log_variance: (..., latent), the natural logarithm of the variance. It may be so low that exp of it is 0; then
            z is the mean, and the gradients stay finite.
        noise: draws from N(0, 1) in a shape that broadcasts with the mean. By default new ones, in the mean's shape.

    Returns:
        z, in the dtype of the mean, and in the shape that mean and noise broadcast to.
    """
    raise NotImplementedError("reparameterize is yours to write")


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """How far q(z|x) = N(mean, variance) is from the prior N(0, 1): KL(q ‖ p), in nats, in closed form.

    Args:
        mean, log_variance: (batch, latent).

    Returns:
        (batch,), summed over the latent variables.
    """
    raise NotImplementedError("kl_divergence is yours to write")


def reconstruction_loss(logits: Tensor, x: Tensor) -> Tensor:
    """−log p(x|z) for pixels that are independent given z: the binary cross-entropy, in nats.

    Args:
        logits: (..., features), of the probability of white. They may be as large as 1000 either way, and the loss and
            its gradient are right and finite all the same.
        x: broadcasts to the logits; each pixel in [0, 1].

    Returns:
        (...,), summed over the pixels.
    """
    raise NotImplementedError("reconstruction_loss is yours to write")


def vae_loss(logits: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor, beta: float = 1.0) -> Tensor:
    """The negative bound, with the divergence weighted by beta (Higgins et al. 2017), averaged over the batch.

    Args:
        logits, mean, log_variance: what `VAE.forward` returns.
        x: (batch, features).
        beta: the weight of the divergence.

    Returns:
        reconstruction loss + beta · divergence: both as sums for each picture, the mean over the pictures. No axes.
    """
    raise NotImplementedError("vae_loss is yours to write")


def log_likelihood(model: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """log p(x), estimated with many z for each picture by importance sampling (Burda et al. 2016, equation 8).

    Each z of q(z|x) has the weight p(x|z) p(z) / q(z|x), and p(x) is the mean of the weights. They are far too small
    for floating point: only their logarithms can be computed, −1000 and less.

    Args:
        model: a VAE.
        x: (batch, features).
        noise: (samples, batch, latent), the draws from N(0, 1) that make the z.

    Returns:
        (batch,), in nats.
    """
    raise NotImplementedError("log_likelihood is yours to write")


def train(model: VAE, batches: Iterable[Tensor], learning_rate: float, beta: float = 1.0) -> list[float]:
    """One step of Adam on `vae_loss` for each batch.

    Args:
        model: a VAE.
        batches: tensors (batch, features), gone through once.
        learning_rate: Adam's.
        beta: the weight of the divergence.

    Returns:
        The loss of each batch, as it was before its step, as floats.
    """
    raise NotImplementedError("train is yours to write")


def sample(model: VAE, count: int) -> Tensor:
    """New pictures: z from the prior, decoded.

    Args:
        model: a VAE.
        count: how many pictures.

    Returns:
        (count, features), the probability of white for each pixel.
    """
    raise NotImplementedError("sample is yours to write")
