"""The learned table in an embedding layer, looked up by position; a cosine is a sine a quarter turn ahead."""

import math

import torch
from torch import nn


def _waves(positions, width, base):
    column = torch.arange(width)
    rates = torch.exp(-(column - column % 2).double() / width * math.log(base))
    return torch.sin(positions.double().unsqueeze(1) * rates + column % 2 * (math.pi / 2))


def sinusoidal(length, width, base=10_000.0):
    if length < 0 or width < 1:
        raise ValueError(f"length {length}, width {width}")
    return _waves(torch.arange(length), width, base).float()


def _positions(x, start, length, width):
    positions = torch.arange(start, start + x.shape[-2], device=x.device)
    if start < 0 or start + x.shape[-2] > length or x.shape[-1] != width:
        raise ValueError(f"{tuple(x.shape)} from {start} on, but a table ({length}, {width})")
    return positions


def add_positions(x, table, start=0):
    return x + table[_positions(x, start, *table.shape)].to(x)


class LearnedPositions(nn.Module):
    def __init__(self, length, width):
        super().__init__()
        self.embedding = nn.Embedding(length, width)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, x, start=0):
        return x + self.embedding(_positions(x, start, *self.embedding.weight.shape))


def shift_matrix(width, offset, base=10_000.0):
    """Where the points at a quarter turn (1, 0) and at no turn (0, 1) come to lie are the rows of a block."""
    if width < 2 or width % 2:
        raise ValueError(f"width {width}")
    blocks = []
    for column in range(0, width, 2):
        angle = offset * base ** (-column / width)
        blocks.append(torch.tensor([[math.sin(turn), math.cos(turn)] for turn in (math.pi / 2 + angle, angle)]))
    return torch.block_diag(*blocks)


def order_gap(function, x, order):
    return torch.linalg.vector_norm(function(x[:, order]) - function(x)[:, order], ord=math.inf).item()
