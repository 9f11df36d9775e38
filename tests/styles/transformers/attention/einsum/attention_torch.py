"""The indices spelled out: q queries, k keys, d the width, v the width of the values. A Boolean mask multiplies after
the softmax too, which changes nothing but the rows that see nothing."""

import torch


def attention(query, key, value, mask=None):
    width, length = query.size(-1), key.size(-2)
    if key.size(-1) != width or value.size(-2) != length:
        raise ValueError(f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)} do not fit")
    scores = torch.einsum("...qd,...kd->...qk", query * width**-0.5, key)
    if mask is None:
        weights = scores.softmax(-1)
    elif mask.is_floating_point():
        weights = (scores + mask).softmax(-1)
    else:
        lowest = torch.full_like(scores, torch.finfo(scores.dtype).min)
        weights = torch.where(mask, scores, lowest).softmax(-1).mul(mask)
    return torch.einsum("...qk,...kv->...qv", weights, value), weights
