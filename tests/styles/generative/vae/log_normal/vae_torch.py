"""Thin names over functions: logsigmoid for the pixels, one density for prior and posterior, all draws at once."""

import torch
import torch.nn.functional as F
from torch import nn


class VAE(nn.Module):
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
            setattr(self, name, nn.Linear(before, after))

    def encode(self, x):
        h = F.relu(F.linear(x, self.encoder.weight, self.encoder.bias))
        return self.mean(h), self.log_variance(h)

    def decode(self, z):
        return F.linear(F.relu(self.decoder(z)), self.pixels.weight, self.pixels.bias)

    def forward(self, x):
        mean, log_variance = self.encode(x)
        z = reparameterize(mean, log_variance, torch.randn(mean.shape, dtype=mean.dtype, device=mean.device))
        return self.decode(z), mean, log_variance


def reparameterize(mean, log_variance, noise=None):
    if noise is None:
        noise = torch.normal(torch.zeros_like(mean), torch.ones_like(mean))
    return mean + noise * (log_variance * 0.5).exp()


def kl_divergence(mean, log_variance):
    variance = log_variance.exp()
    return torch.einsum("...l->...", 0.5 * (variance + mean * mean - 1 - log_variance))


def reconstruction_loss(logits, x):
    return -(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)


def vae_loss(logits, x, mean, log_variance, beta=1.0):
    total = reconstruction_loss(logits, x).sum() + beta * kl_divergence(mean, log_variance).sum()
    return total / x.shape[0]


def log_likelihood(model, x, noise):
    mean, log_variance = model.encode(x)
    deviation = torch.exp(log_variance / 2)
    z = mean + deviation * noise
    prior, posterior = -(z**2) / 2, -(noise**2) / 2 - torch.log(deviation)
    weights = (prior - posterior).sum(-1) - reconstruction_loss(model.decode(z), x)
    highest = weights.amax(0)
    return (highest + (weights - highest).exp().mean(0).log()).detach()


def train(model, batches, learning_rate, beta=1.0):
    adam = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)

    def one(x):
        adam.zero_grad(set_to_none=False)
        logits, mean, log_variance = model(x)
        loss = vae_loss(logits, x, mean, log_variance, beta)
        loss.backward()
        return loss

    return [adam.step(lambda x=x: one(x)).item() for x in batches]


def sample(model, count):
    device = model.decoder.weight.device
    with torch.no_grad():
        return F.logsigmoid(model.decode(torch.randn((count, model.decoder.in_features), device=device))).exp()
