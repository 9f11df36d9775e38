"""Multi-head attention, in PyTorch.

The heads are one more batch axis: project once for all heads, split D into (heads, d) and move the heads before the
time, and a single matrix product serves every batch and head. The trap is in that move. A view as (B, heads, T, d) has
the right shape without it, and deals every head a mixture of time steps; merging has to undo the move first, too.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def split_heads(x: Tensor, heads: int) -> Tensor:
    if x.shape[-1] % heads:
        raise ValueError(f"{heads} heads do not divide the width {x.shape[-1]}")
    return x.unflatten(-1, (heads, x.shape[-1] // heads)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def multihead(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: Mapping[str, Tensor],
    heads: int,
    mask: Tensor | None = None,
    key_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    if key.shape[1] != value.shape[1]:
        raise ValueError(f"{key.shape[1]} keys, but {value.shape[1]} values")

    def project(x: Tensor, name: str) -> Tensor:
        return x @ weights[name] + weights[f"{name}_bias"]

    q, k, v = (split_heads(project(x, name), heads) for x, name in ((query, "query"), (key, "key"), (value, "value")))
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    visible = torch.ones_like(scores, dtype=torch.bool)
    if mask is not None:
        visible = visible & mask
    if key_mask is not None:
        visible = visible & key_mask[:, None, None, :]
    sees_something = visible.any(dim=-1, keepdim=True)  # a blind row keeps its finite scores, and is zeroed after
    looks = torch.softmax(scores.masked_fill(~visible & sees_something, -torch.inf), dim=-1) * sees_something
    return project(merge_heads(looks @ v), "output"), looks
