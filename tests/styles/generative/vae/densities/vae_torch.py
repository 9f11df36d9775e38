"""Densities written out, a loop over the draws, and the update by hand: Adam with its moments in lists."""

import math

import torch
from torch import nn

LOG_TWO_PI = math.log(2 * math.pi)


class VAE(nn.Module):
    def __init__(self, features, hidden, latent):
        super().__init__()
        self.latent = latent
        self.add_module("encoder", nn.Linear(features, hidden))
        self.add_module("mean", nn.Linear(hidden, latent))
        self.add_module("log_variance", nn.Linear(hidden, latent))
        self.add_module("decoder", nn.Linear(latent, hidden))
        self.add_module("pixels", nn.Linear(hidden, features))

    def encode(self, x):
        h = self.encoder(x).clamp_min(0)
        return tuple(head(h) for head in (self.mean, self.log_variance))

    def decode(self, z):
        return nn.Sequential(self.decoder, nn.ReLU(inplace=True), self.pixels)(z)

    def forward(self, x):
        code = self.encode(x)
        return self.decode(reparameterize(*code)), *code


def reparameterize(mean, log_variance, noise=None):
    if noise is None:
        noise = torch.empty_like(mean).normal_()
    return torch.addcmul(mean, torch.exp(0.5 * log_variance), noise)


def kl_divergence(mean, log_variance):
    return -0.5 * torch.sum(1 + log_variance - mean.square() - torch.exp(log_variance), -1)


def reconstruction_loss(logits, x):
    return (torch.clamp(logits, min=0) - logits * x + torch.log1p(torch.exp(-logits.abs()))).sum(-1)


def vae_loss(logits, x, mean, log_variance, beta=1.0):
    return torch.mean(reconstruction_loss(logits, x)) + beta * torch.mean(kl_divergence(mean, log_variance))


def _log_density(z, mean, log_variance):
    return -0.5 * (LOG_TWO_PI + log_variance + (z - mean) ** 2 * torch.exp(-log_variance)).sum(-1)


def log_likelihood(model, x, noise):
    with torch.inference_mode():
        mean, log_variance = model.encode(x)
        total = torch.full((x.shape[0],), -torch.inf, dtype=mean.dtype, device=mean.device)
        for drawn in noise:
            z = reparameterize(mean, log_variance, drawn)
            prior = _log_density(z, torch.zeros_like(z), torch.zeros_like(z))
            one = prior - _log_density(z, mean, log_variance) - reconstruction_loss(model.decode(z), x)
            total = torch.logaddexp(total, one)
        return total - math.log(len(noise))


def train(model, batches, learning_rate, beta=1.0):
    parameters = list(model.parameters())
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    losses = []
    for step, x in enumerate(batches, start=1):
        logits, *code = model(x)
        loss = vae_loss(logits, x, *code, beta=beta)
        with torch.no_grad():
            for p, g, m, v in zip(parameters, torch.autograd.grad(loss, parameters), first, second, strict=True):
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.999).addcmul_(g, g, value=0.001)
                size = learning_rate / (1 - 0.9**step)
                p.sub_(size * m / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
        losses.append(float(loss))
    return losses


def sample(model, count):
    z = torch.zeros(count, model.latent).to(next(model.parameters())).normal_()
    return 1 / (1 + torch.exp(-model.decode(z))).detach()
