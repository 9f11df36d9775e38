"""The player that is not learning is frozen for the turn; losses by logsigmoid; gradients by backward."""

import torch
import torch.nn.functional as F
from torch import nn


def _three(inputs, hidden, outputs):
    return {"first": nn.Linear(inputs, hidden), "second": nn.Linear(hidden, hidden), "last": nn.Linear(hidden, outputs)}


class Discriminator(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        for name, layer in _three(features, hidden, 1).items():
            self.add_module(name, layer)

    def forward(self, points):
        steps = (self.first, nn.LeakyReLU(0.2), self.second, nn.LeakyReLU(0.2), self.last)
        return nn.Sequential(*steps)(points)


class Generator(nn.Module):
    def __init__(self, latent, hidden, features, bounded=False):
        super().__init__()
        self.squash = torch.tanh if bounded else lambda x: x
        for name, layer in _three(latent, hidden, features).items():
            self.add_module(name, layer)

    def forward(self, noise):
        h = F.leaky_relu(self.first(noise), negative_slope=0.2, inplace=True)
        h = F.leaky_relu(self.second(h), negative_slope=0.2, inplace=True)
        return self.squash(self.last(h))


def discriminator_loss(real, fake, kind="non_saturating"):
    match kind:
        case "non_saturating":
            return -(F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean())
        case "least_squares":
            return 0.5 * (real.sub(1).square().mean() + fake.square().mean())
    raise ValueError(kind)


def generator_loss(fake, kind="non_saturating"):
    match kind:
        case "non_saturating":
            return torch.logaddexp(torch.zeros_like(fake), -fake).mean()
        case "least_squares":
            return 0.5 * fake.sub(1).square().mean()
    raise ValueError(kind)


def _turn(player, rival, optimizer, loss_of):
    rival.requires_grad_(False)
    player.requires_grad_(True)
    player.zero_grad(set_to_none=True)
    loss = loss_of()
    loss.backward()
    optimizer.step()
    rival.requires_grad_(True)
    return loss.detach().item()


def discriminator_step(generator, discriminator, optimizer, real, noise, kind="non_saturating"):
    def loss_of():
        logits = discriminator(torch.cat([real, generator(noise)]))
        return discriminator_loss(logits[: len(real)], logits[len(real) :], kind)

    return _turn(discriminator, generator, optimizer, loss_of)


def generator_step(generator, discriminator, optimizer, noise, kind="non_saturating"):
    return _turn(generator, discriminator, optimizer, lambda: generator_loss(discriminator(generator(noise)), kind))


def train(generator, discriminator, batches, latent, learning_rate, kind="non_saturating"):
    options = {"lr": learning_rate, "betas": (0.5, 0.999), "foreach": False}
    makes = torch.optim.Adam(generator.parameters(), **options)
    judges = torch.optim.Adam(discriminator.parameters(), **options)

    def one(real):
        size = (real.shape[0], latent)
        judged = discriminator_step(generator, discriminator, judges, real, torch.randn(size).to(real.device), kind)
        return judged, generator_step(generator, discriminator, makes, torch.randn(size).to(real.device), kind)

    return [one(real) for real in batches]


def modes_covered(samples, centres, radius, share):
    nearest = torch.stack([torch.linalg.vector_norm(samples - centre, dim=1) for centre in centres])
    mine = F.one_hot(nearest.argmin(0), len(centres)).bool() & (radius >= nearest.T)
    return len(torch.nonzero(mine.sum(0) / len(samples) >= share))
