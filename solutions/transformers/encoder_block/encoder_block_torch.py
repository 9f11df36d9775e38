"""The encoder block of a Transformer, in PyTorch.

Two branches, attention and feed-forward, each with dropout at its end, and four lines that say how they are joined:
with post-norm the norm takes the sum; with pre-norm it takes what goes into the branch, and the sum stays bare. The
trap is to normalise x itself in the pre-norm block: then the straight way, which carries the gradient past all blocks,
is gone.
"""

import math

import torch
from torch import Tensor, nn


class EncoderBlock(nn.Module):
    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.1,
        norm_first: bool = False,
        eps: float = 1e-5,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads, self.norm_first = heads, norm_first
        self.query, self.key, self.value, self.mix = (nn.Linear(width, width) for _ in range(4))
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.drop_weights, self.drop_attended = nn.Dropout(dropout), nn.Dropout(dropout)
        self.drop_hidden, self.drop_fed = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.norm_first:
            x = x + self._attend(self.norm1(x), mask)
            return x + self._feed(self.norm2(x))
        x = self.norm1(x + self._attend(x, mask))
        return self.norm2(x + self._feed(x))

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if mask is not None:  # the lowest number, not minus infinity: a row of padding alone must not become nan
            scores = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min)
        weights = self.drop_weights(torch.softmax(scores, dim=-1))
        return self.drop_attended(self.mix((weights @ v).transpose(1, 2).flatten(2)))

    def _feed(self, x: Tensor) -> Tensor:
        return self.drop_fed(self.contract(self.drop_hidden(torch.relu(self.expand(x)))))
