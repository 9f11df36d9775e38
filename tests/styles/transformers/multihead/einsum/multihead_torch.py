"""Each projection as a tensor with a head axis of its own, and the letters do the rest: b batch, i and j time, h head,
d the width of a head, x and y of what goes in and comes out. A hidden key scores minus infinity, and a blind row is
left open through the softmax and then set to zero."""

import torch
from torch.nn.functional import softmax


def split_heads(x, heads):
    width = x.size(-1)
    if width % heads != 0:
        raise ValueError(f"{width} columns for {heads} heads")
    return torch.stack(x.split(width // heads, dim=-1), dim=1)


def merge_heads(x):
    return torch.cat(x.unbind(1), dim=-1)


def multihead(query, key, value, weights, heads, mask=None, key_mask=None):
    if weights["query"].size(1) % heads or key.size(1) != value.size(1):
        raise ValueError("the arguments do not fit")

    def into_heads(x, name):
        kernel = weights[name].unflatten(1, (heads, -1))
        return torch.einsum("bix,xhd->bhid", x, kernel) + weights[name + "_bias"].view(heads, 1, -1)

    q, k, v = into_heads(query, "query"), into_heads(key, "key"), into_heads(value, "value")
    scores = torch.einsum("bhid,bhjd->bhij", q * q.size(-1) ** -0.5, k)
    if mask is not None or key_mask is not None:
        visible = torch.tensor(True, device=query.device) if mask is None else mask
        visible = visible if key_mask is None else visible & key_mask.unsqueeze(1).unsqueeze(1)
        blind = ~visible.any(-1, keepdim=True)
        scores = torch.where(visible | blind, scores, float("-inf"))
        looks = torch.where(blind, 0, softmax(scores, -1))
    else:
        looks = softmax(scores, -1)
    kernel = weights["output"].unflatten(0, (heads, -1))
    return torch.einsum("bhij,bhjd,hdy->biy", looks, v, kernel) + weights["output_bias"], looks
