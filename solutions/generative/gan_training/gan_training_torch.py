"""Training a generative adversarial network, in PyTorch.

The losses are softplus of logits: −log σ(x) = softplus(−x), −log(1 − σ(x)) = softplus(x), which no size of logit harms.
The traps lie between the two players. Fake points are detached in the discriminator's turn, or its loss would be
differentiated through the generator for nothing. In the generator's turn the gradient must pass through the
discriminator, but only the generator's weights ask for one, so nothing is left behind in the discriminator.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam, Optimizer


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.first(x), 0.2)
        return self.last(F.leaky_relu(self.second(h), 0.2))


class Generator(_Perceptron):
    def __init__(self, latent: int, hidden: int, features: int, bounded: bool = False):
        super().__init__(latent, hidden, features)
        self.bounded = bounded

    def forward(self, noise: Tensor) -> Tensor:
        points = super().forward(noise)
        return torch.tanh(points) if self.bounded else points


class Discriminator(_Perceptron):
    def __init__(self, features: int, hidden: int):
        super().__init__(features, hidden, 1)

    def forward(self, points: Tensor) -> Tensor:
        return super().forward(points)


def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "non_saturating") -> Tensor:
    if kind == "non_saturating":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    if kind == "least_squares":
        return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2
    raise ValueError(f"the kind is 'non_saturating' or 'least_squares', not {kind!r}")


def generator_loss(fake: Tensor, kind: str = "non_saturating") -> Tensor:
    if kind == "non_saturating":
        return F.softplus(-fake).mean()
    if kind == "least_squares":
        return ((fake - 1) ** 2).mean() / 2
    raise ValueError(f"the kind is 'non_saturating' or 'least_squares', not {kind!r}")


def discriminator_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: Optimizer,
    real: Tensor,
    noise: Tensor,
    kind: str = "non_saturating",
) -> float:
    fake = generator(noise).detach()
    loss = discriminator_loss(discriminator(real), discriminator(fake), kind)
    return _step(optimizer, discriminator, loss)


def generator_step(
    generator: Generator,
    discriminator: Discriminator,
    optimizer: Optimizer,
    noise: Tensor,
    kind: str = "non_saturating",
) -> float:
    loss = generator_loss(discriminator(generator(noise)), kind)
    return _step(optimizer, generator, loss)


def train(
    generator: Generator,
    discriminator: Discriminator,
    batches: Iterable[Tensor],
    latent: int,
    learning_rate: float,
    kind: str = "non_saturating",
) -> list[tuple[float, float]]:
    for_generator = Adam(generator.parameters(), learning_rate, betas=(0.5, 0.999))
    for_discriminator = Adam(discriminator.parameters(), learning_rate, betas=(0.5, 0.999))
    losses = []
    for real in batches:
        noise = torch.randn(2, len(real), latent, device=real.device)
        judged = discriminator_step(generator, discriminator, for_discriminator, real, noise[0], kind)
        made = generator_step(generator, discriminator, for_generator, noise[1], kind)
        losses.append((judged, made))
    return losses


def modes_covered(samples: Tensor, centres: Tensor, radius: float, share: float) -> int:
    distance, nearest = torch.cdist(samples, centres).min(dim=1)
    counts = torch.bincount(nearest[distance <= radius], minlength=len(centres))
    return int((counts >= share * len(samples)).sum())


def _step(optimizer: Optimizer, model: nn.Module, loss: Tensor) -> float:
    """Descend the loss in the model's own weights, and leave no gradient anywhere else."""
    parameters = list(model.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss.item()
