"""One query after the other, as the formula is told: right, and slow."""

import torch

STOPS_AT_LEVEL = 6  # no loops


def attention(query, key, value, mask=None):
    if query.shape[-1] != key.shape[-1]:
        raise ValueError("the widths of query and key differ")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError("as many values as keys are needed")
    if mask is not None:
        mask = mask.expand(*query.shape[:-1], key.shape[-2])
    outputs, weights = [], []
    for place in range(query.shape[-2]):
        row = (key * query[..., place : place + 1, :]).sum(dim=-1) / query.shape[-1] ** 0.5
        seen = torch.ones_like(row, dtype=torch.bool)
        if mask is not None:
            at = mask[..., place, :]
            row, seen = (row, at) if at.dtype == torch.bool else (row + at, seen)
        row = row.masked_fill(~seen, torch.finfo(row.dtype).min)
        row = torch.exp(row - row.amax(dim=-1, keepdim=True)) * seen
        row = row / row.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(row.dtype).tiny)
        weights.append(row)
        outputs.append((row[..., None] * value).sum(dim=-2))
    return torch.stack(outputs, dim=-2), torch.stack(weights, dim=-2)
