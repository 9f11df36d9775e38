"""Labels of ones and zeros for the framework's own losses; zero_grad, backward, step, with each player cleared."""

import torch
from torch import nn

LOSSES = {"non_saturating": nn.BCEWithLogitsLoss(), "least_squares": lambda logits, y: 0.5 * nn.MSELoss()(logits, y)}


class Generator(nn.Module):
    def __init__(self, latent, hidden, features, bounded=False):
        super().__init__()
        self.first = nn.Linear(latent, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, features)
        self.act = nn.LeakyReLU(negative_slope=0.2)
        self.end = nn.Tanh() if bounded else nn.Identity()

    def forward(self, noise):
        for layer in (self.first, self.second):
            noise = self.act(layer(noise))
        return self.end(self.last(noise))


class Discriminator(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1)

    def forward(self, points):
        h = self.first(points)
        h = self.second(torch.maximum(h, 0.2 * h))
        return self.last(torch.maximum(h, 0.2 * h))


def _criterion(kind):
    try:
        return LOSSES[kind]
    except KeyError:
        raise ValueError(f"unknown kind {kind}") from None


def discriminator_loss(real, fake, kind="non_saturating"):
    criterion = _criterion(kind)
    return criterion(real, torch.ones_like(real)) + criterion(fake, torch.zeros_like(fake))


def generator_loss(fake, kind="non_saturating"):
    return _criterion(kind)(fake, torch.ones_like(fake))


def discriminator_step(generator, discriminator, optimizer, real, noise, kind="non_saturating"):
    with torch.no_grad():
        fake = generator(noise)
    optimizer.zero_grad()
    loss = discriminator_loss(discriminator(real), discriminator(fake), kind)
    loss.backward()
    optimizer.step()
    return float(loss)


def generator_step(generator, discriminator, optimizer, noise, kind="non_saturating"):
    optimizer.zero_grad()
    loss = generator_loss(discriminator(generator(noise)), kind)
    loss.backward()  # leaves gradients in the discriminator, which its own step clears
    optimizer.step()
    return float(loss)


def train(generator, discriminator, batches, latent, learning_rate, kind="non_saturating"):
    adams = [torch.optim.Adam(m.parameters(), lr=learning_rate, betas=(0.5, 0.999)) for m in (generator, discriminator)]
    losses = []
    for real in batches:
        draw = real.new_empty(len(real), latent)
        first = discriminator_step(generator, discriminator, adams[1], real, draw.normal_(), kind)
        losses.append((first, generator_step(generator, discriminator, adams[0], draw.normal_(), kind)))
    return losses


def modes_covered(samples, centres, radius, share):
    squares = (samples[:, None, :] - centres[None]).pow(2).sum(-1)
    covered = 0
    for mode in range(centres.shape[0]):
        mine = (squares.argmin(1) == mode) & (squares[:, mode] <= radius**2)
        covered += int(mine.float().mean() >= share)
    return covered
