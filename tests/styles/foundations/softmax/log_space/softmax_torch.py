"""Everything in the logarithm: the probabilities are exp of log_softmax. Slices without a choice are told by a mask."""

import torch


def softmax(logits, axis=-1, temperature=1.0):
    return log_softmax(logits.double(), axis, temperature).exp().to(logits.dtype)


def log_softmax(logits, axis=-1, temperature=1.0):
    if not temperature > 0:
        raise ValueError("temperature must be positive")
    impossible = torch.isneginf(logits)
    hopeless = impossible.all(dim=axis, keepdim=True)
    safe = logits.masked_fill(hopeless, 0.0)
    safe = safe.float() if safe.dtype == torch.float16 else safe
    scores = (safe - safe.max(dim=axis, keepdim=True).values) / temperature
    result = scores - torch.log(torch.sum(torch.exp(scores), dim=axis, keepdim=True))
    return result.masked_fill(impossible, -torch.inf).to(logits.dtype)


def softmax_jvp(probabilities, vector, axis=-1, temperature=1.0):
    if vector.shape != probabilities.shape:
        raise ValueError("probabilities and vector must have one shape")
    if not temperature > 0:
        raise ValueError("temperature must be positive")
    p, v = probabilities.movedim(axis, -1), vector.movedim(axis, -1)
    product = p * v - p * torch.einsum("...i,...i->...", p, v).unsqueeze(-1)
    return (product / temperature).movedim(-1, axis)
