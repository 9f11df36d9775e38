"""A variational autoencoder, in PyTorch.

Noise that depends on nothing, scaled and moved, lets the gradient through a random draw. The divergence of two normal
distributions has a closed form, so only the reconstruction is sampled. The traps: both terms are sums for each
picture, or one drowns the other; the deviation is exp(log_variance / 2), which has a gradient where the square root of
the variance has none; sigmoid and logarithm belong together, in the loss; and weights as small as e^−1000 exist only
as logarithms.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self, features: int, hidden: int, latent: int):
        super().__init__()
        self.encoder = nn.Linear(features, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)
        self.decoder = nn.Linear(latent, hidden)
        self.pixels = nn.Linear(hidden, features)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.encoder(x))
        return self.mean(h), self.log_variance(h)

    def decode(self, z: Tensor) -> Tensor:
        return self.pixels(torch.relu(self.decoder(z)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x)
        return self.decode(reparameterize(mean, log_variance)), mean, log_variance


def reparameterize(mean: Tensor, log_variance: Tensor, noise: Tensor | None = None) -> Tensor:
    noise = torch.randn_like(mean) if noise is None else noise
    return mean + torch.exp(log_variance / 2) * noise


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    return (mean**2 + log_variance.exp() - log_variance - 1).sum(dim=-1) / 2


def reconstruction_loss(logits: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(dim=-1)


def vae_loss(logits: Tensor, x: Tensor, mean: Tensor, log_variance: Tensor, beta: float = 1.0) -> Tensor:
    return (reconstruction_loss(logits, x) + beta * kl_divergence(mean, log_variance)).mean()


@torch.no_grad()
def log_likelihood(model: VAE, x: Tensor, noise: Tensor) -> Tensor:
    mean, log_variance = model.encode(x)
    z = reparameterize(mean, log_variance, noise)
    log_ratio = (noise**2 + log_variance - z**2).sum(dim=-1) / 2  # log p(z) - log q(z|x): the 2π cancel
    log_weights = log_ratio - reconstruction_loss(model.decode(z), x)
    return torch.logsumexp(log_weights, dim=0) - math.log(len(noise))


def train(model: VAE, batches: Iterable[Tensor], learning_rate: float, beta: float = 1.0) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    losses = []
    for x in batches:
        logits, mean, log_variance = model(x)
        loss = vae_loss(logits, x, mean, log_variance, beta)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def sample(model: VAE, count: int) -> Tensor:
    weight = model.mean.weight
    return torch.sigmoid(model.decode(torch.randn(count, len(weight), device=weight.device)))
