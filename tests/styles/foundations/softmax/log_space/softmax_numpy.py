"""Everything in the logarithm: the probabilities are exp of log_softmax, and the sum is folded pair by pair."""

import numpy as np


def softmax(logits, axis=-1, temperature=1.0):
    return np.exp(log_softmax(logits, axis, temperature))


def log_softmax(logits, axis=-1, temperature=1.0):
    if not temperature > 0:
        raise ValueError("temperature must be positive")
    scores = logits.astype(np.promote_types(logits.dtype, np.float32)) / temperature
    scores = scores - np.nan_to_num(scores.max(axis, keepdims=True), neginf=0.0)
    total = np.logaddexp.reduce(scores, axis=axis, keepdims=True)
    return np.where(np.isneginf(scores), -np.inf, scores - np.where(np.isneginf(total), 0, total)).astype(logits.dtype)


def softmax_jvp(probabilities, vector, axis=-1, temperature=1.0):
    if vector.shape != probabilities.shape:
        raise ValueError("probabilities and vector must have one shape")
    if not temperature > 0:
        raise ValueError("temperature must be positive")
    p, v = np.moveaxis(probabilities, axis, -1), np.moveaxis(vector, axis, -1)
    product = p * v - p * np.einsum("...i,...i->...", p, v)[..., None]
    return np.moveaxis(product / temperature, -1, axis)
