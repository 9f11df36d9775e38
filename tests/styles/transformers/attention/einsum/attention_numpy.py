"""The indices spelled out: q queries, k keys, d the width, v the width of the values. The exponentials are taken where
the mask allows, and nowhere else, so that no infinity appears."""

import numpy as np


def attention(query, key, value, mask=None):
    *_, width = query.shape
    if key.shape[-1] != width or value.shape[-2] != key.shape[-2]:
        raise ValueError(f"{query.shape}, {key.shape} and {value.shape} do not fit")
    scores = np.einsum("...qd,...kd->...qk", query, key) * np.asarray(width**-0.5, query.dtype)
    visible = np.ones(scores.shape, bool)
    if mask is not None and mask.dtype == bool:
        visible = np.broadcast_to(mask, scores.shape)
    elif mask is not None:
        scores = np.add(scores, mask, dtype=scores.dtype, casting="same_kind")
    highest = np.max(scores, axis=-1, keepdims=True, where=visible, initial=np.finfo(scores.dtype).min)
    weights = np.exp(scores - highest, where=visible, out=np.zeros_like(scores))
    total = np.einsum("...qk->...q", weights)[..., None]
    weights = np.divide(weights, total, where=total > 0, out=np.zeros_like(weights))
    return np.einsum("...qk,...kv->...qv", weights, value), weights
