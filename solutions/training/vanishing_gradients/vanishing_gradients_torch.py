"""Where a gradient gets lost, and what brings it back, in PyTorch.

A sigmoid's slope is a quarter at most, so each layer takes most of the gradient away. The ReLU passes it whole, if the
weights make up for the half that it cuts off; a norm sets the scale of every layer anew; a residual link lets the
gradient past the layer. The trap is in the measuring: a forward pass in training mode moves the running statistics,
and backward() adds to whatever `.grad` holds, so the measurement is made on a copy.
"""

import copy
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {"sigmoid": (torch.sigmoid, 1.0), "relu": (torch.relu, math.sqrt(2))}  # and the gain each asks for


class DeepNet(nn.Module):
    def __init__(
        self,
        in_features: int,
        width: int,
        depth: int,
        classes: int,
        activation: str = "sigmoid",
        norm: bool = False,
        residual: bool = False,
        gain: float | None = None,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"the activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        if depth < 1:
            raise ValueError(f"a depth of {depth}: at least one hidden layer is needed")
        self.activation, usual_gain = ACTIVATIONS[activation]
        self.residual = residual
        gain = usual_gain if gain is None else gain
        self.hidden = nn.ModuleList(_linear(n, width, gain) for n in [in_features] + [width] * (depth - 1))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(depth if norm else 0))
        self.head = _linear(width, classes, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for index, layer in enumerate(self.hidden):
            z = layer(h)
            if self.norms:
                z = self.norms[index](z)
            z = self.activation(z)
            h = h + z if self.residual and index > 0 else z
        return self.head(h)


def gradient_norms(model: DeepNet, x: Tensor, labels: Tensor) -> list[float]:
    model = copy.deepcopy(model).train()
    kernels = [layer.weight for layer in model.hidden]
    gradients = torch.autograd.grad(F.cross_entropy(model(x), labels), kernels)
    return [gradient.norm().item() for gradient in gradients]


def report(norms: Sequence[float], factor: float = 1000.0) -> tuple[str, int | None]:
    if len(norms) == 0 or not factor > 1:
        raise ValueError(f"{len(norms)} norms and a factor of {factor}: expected one or more, and a factor above 1")
    for index in reversed(range(len(norms))):
        if norms[index] == 0 or norms[index] < norms[-1] / factor:
            return "vanishing", index
        if not math.isfinite(norms[index]) or norms[index] > norms[-1] * factor:
            return "exploding", index
    return "healthy", None


def train(model: DeepNet, batches: Iterable[tuple[Tensor, Tensor]], learning_rate: float) -> list[float]:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    losses = []
    for x, labels in batches:
        loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)
    return layer
