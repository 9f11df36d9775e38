"""A pair of sine and cosine is one complex number on the unit circle, and a shift turns it."""

import torch
from torch import nn


def _circle(positions, width, base):
    rates = torch.tensor(float(base), dtype=torch.double).pow(torch.arange(0, width, 2).double().neg() / width)
    angles = torch.outer(positions.double(), rates)
    return torch.polar(torch.ones_like(angles), angles)


def sinusoidal(length, width, base=10_000.0):
    if length < 0 or width < 1:
        raise ValueError("no such table")
    circle = _circle(torch.arange(length), width, base)
    pairs = torch.view_as_real(circle).flip(-1)  # imaginary part first: the sine
    return pairs.reshape(length, 2 * circle.shape[1])[:, :width].to(torch.float32)


def add_positions(x, table, start=0):
    time, width = x.size(-2), x.size(-1)
    if start < 0 or start + time > table.size(0) or width != table.size(1):
        raise ValueError("no such positions")
    return x.add(table.narrow(0, start, time).type_as(x))


class LearnedPositions(nn.Module):
    def __init__(self, length, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x, start=0):
        return add_positions(x, self.weight, start)


def shift_matrix(width, offset, base=10_000.0):
    """Every basis vector, read as complex numbers, is turned."""
    if width < 2 or width % 2:
        raise ValueError("sines and cosines come in pairs")
    basis = torch.eye(width, dtype=torch.double).view(width, -1, 2).flip(-1).contiguous()
    turned = torch.view_as_complex(basis) * _circle(torch.tensor([offset]), width, base)
    return torch.view_as_real(turned).flip(-1).reshape(width, width).float()


def order_gap(function, x, order):
    back = torch.argsort(order)
    return float(torch.dist(function(x.index_select(1, order)).index_select(1, back), function(x), p=float("inf")))
