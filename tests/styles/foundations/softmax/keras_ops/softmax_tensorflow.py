"""In keras.ops only, and the exponentials are normalised by their reciprocal sum."""

from keras import ops


def softmax(logits, axis=-1, temperature=1.0):
    weights = ops.exp(_centred(logits, axis, temperature))
    total = ops.sum(weights, axis=axis, keepdims=True)
    nothing = ops.equal(total, 0)
    shares = ops.multiply(weights, ops.reciprocal(ops.where(nothing, ops.ones_like(total), total)))
    return ops.cast(shares, logits.dtype)


def log_softmax(logits, axis=-1, temperature=1.0):
    centred = _centred(logits, axis, temperature)
    total = ops.sum(ops.exp(centred), axis=axis, keepdims=True)
    nothing = ops.equal(total, 0)
    return ops.cast(ops.subtract(centred, ops.log(ops.where(nothing, ops.ones_like(total), total))), logits.dtype)


def softmax_jvp(probabilities, vector, axis=-1, temperature=1.0):
    if tuple(probabilities.shape) != tuple(vector.shape):
        raise ValueError(f"shapes {probabilities.shape} and {vector.shape} differ")
    if temperature <= 0:
        raise ValueError("temperature must be above zero")
    p, v = ops.moveaxis(probabilities, axis, -1), ops.moveaxis(vector, axis, -1)
    mean = ops.einsum("...i,...i->...", p, v)
    return ops.moveaxis(p * (v - ops.expand_dims(mean, -1)) / temperature, -1, axis)


def _centred(logits, axis, temperature):
    if temperature <= 0:
        raise ValueError("temperature must be above zero")
    logits = ops.cast(logits, "float32") if logits.dtype == "float16" else logits
    top = ops.max(logits, axis=axis, keepdims=True, initial=logits.dtype.min)
    return ops.divide(ops.subtract(logits, top), temperature)
