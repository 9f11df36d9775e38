"""Additive attention, in PyTorch.

Two axes are put in so that every query meets every key, (B, T, 1, units) + (B, 1, S, units); tanh and one more linear
layer make a score of each pair. The trap is a sequence of nothing but padding: with minus infinity its softmax would be
nan, so padding gets the lowest finite score, and weight zero after the softmax once more, which changes such rows only.
"""

import torch
from torch import Tensor, nn


class BahdanauAttention(nn.Module):
    def __init__(self, query_size: int, memory_size: int, units: int):
        super().__init__()
        self.query_layer = nn.Linear(query_size, units, bias=False)
        self.memory_layer = nn.Linear(memory_size, units, bias=False)
        self.score_layer = nn.Linear(units, 1, bias=False)

    def project(self, memory: Tensor) -> Tensor:
        return self.memory_layer(memory)

    def forward(
        self, query: Tensor, memory: Tensor, real: Tensor | None = None, keys: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        self._check(query, memory, real, keys)
        keys = self.project(memory) if keys is None else keys
        hidden = torch.tanh(self.query_layer(query)[:, :, None] + keys[:, None])
        scores = self.score_layer(hidden).squeeze(-1)
        if real is None:
            weights = torch.softmax(scores, dim=-1)
        else:
            real = real[:, None]
            scores = scores.masked_fill(~real, torch.finfo(scores.dtype).min)
            weights = torch.softmax(scores, dim=-1) * real
        return weights @ memory, weights

    def _check(self, query: Tensor, memory: Tensor, real: Tensor | None, keys: Tensor | None) -> None:
        batch, length = memory.shape[:2]
        for name, tensor, shape in (
            ("query", query, (batch, query.shape[1], self.query_layer.in_features)),
            ("memory", memory, (batch, length, self.memory_layer.in_features)),
            ("real", real, (batch, length)),
            ("keys", keys, (batch, length, self.memory_layer.out_features)),
        ):
            if tensor is not None and tensor.shape != shape:
                raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, not {shape}")
