"""The heads folded into the batch, as PyTorch's own layer has it: (B·heads, T, d) and batched matrix products. The
softmax is written out, with the masked scores left out of its sum."""

import torch
import torch.nn.functional as F


def split_heads(x, heads):
    batch, length, width = x.shape
    depth, rest = divmod(width, heads)
    if rest:
        raise ValueError(f"the width {width} is not a multiple of {heads}")
    return x.reshape(batch, length, heads, depth).permute(0, 2, 1, 3)


def merge_heads(x):
    batch, heads, length, depth = x.shape
    return x.permute(0, 2, 1, 3).reshape(batch, length, heads * depth)


def multihead(query, key, value, weights, heads, mask=None, key_mask=None):
    batch, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    if value.shape[1] != keys:
        raise ValueError(f"keys: {keys}, values: {value.shape[1]}")
    folded = []
    for name, x in {"query": query, "key": key, "value": value}.items():
        projected = F.linear(x, weights[name].T, weights[f"{name}_bias"])
        folded.append(split_heads(projected, heads).flatten(0, 1))
    q, k, v = folded
    scores = torch.bmm(q, k.mT).div(q.shape[-1] ** 0.5).view(batch, heads, queries, keys)
    visible = scores.new_ones((), dtype=torch.bool)
    if mask is not None:
        visible = visible.logical_and(mask)
    if key_mask is not None:
        visible = visible.logical_and(key_mask.view(batch, 1, 1, keys))
    lowest = torch.finfo(scores.dtype).min
    shifted = scores - scores.masked_fill(~visible, lowest).amax(-1, keepdim=True).detach()
    powers = shifted.masked_fill(~visible, 0).exp() * visible
    looks = powers / powers.sum(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)
    mixed = torch.bmm(looks.flatten(0, 1), v).view(batch, heads, queries, -1)
    return F.linear(merge_heads(mixed), weights["output"].T, weights["output_bias"]), looks
