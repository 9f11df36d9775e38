"""Positional encoding, in PyTorch.

All angles are one outer product of positions and frequencies. Sine and cosine of each are stacked as the last axis and
flattened, which interleaves them, and cutting at the width serves odd ones too. Two traps. At position 100 000 a
float32 angle is off by thousandths, so angles are float64 until their sine is taken. And a slice that runs over the
table's end is silently shorter; a single row left over would even be broadcast.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def _frequencies(width: int, base: float) -> Tensor:
    return base ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)


def sinusoidal(length: int, width: int, base: float = 10_000.0) -> Tensor:
    if length < 0 or width < 1:
        raise ValueError(f"there is no table of {length} positions and {width} columns")
    angles = torch.arange(length, dtype=torch.float64)[:, None] * _frequencies(width, base)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].float()


def add_positions(x: Tensor, table: Tensor, start: int = 0) -> Tensor:
    length, width = x.shape[-2:]
    if width != table.shape[1]:
        raise ValueError(f"tokens of width {width}, but a table of width {table.shape[1]}")
    if start < 0 or start + length > len(table):
        raise ValueError(f"positions {start} to {start + length - 1}, but a table of {len(table)}")
    return x + table[start : start + length].to(x.dtype)


class LearnedPositions(nn.Module):
    def __init__(self, length: int, width: int):
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(length, width))

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        return add_positions(x, self.table, start)


def shift_matrix(width: int, offset: int, base: float = 10_000.0) -> Tensor:
    if width < 2 or width % 2:
        raise ValueError(f"width {width}: only pairs of sine and cosine can be shifted")
    angles = offset * _frequencies(width, base)
    turns = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], dim=-1).view(-1, 2, 2)
    return torch.block_diag(*turns).float()


def order_gap(function: Callable[[Tensor], Tensor], x: Tensor, order: Tensor) -> float:
    return (function(x[:, order]) - function(x)[:, order]).abs().max().item()
