"""Both functions carry their own backward pass: the one of softmax is its product with the Jacobian.

Half precision is widened to float32 inside, as kernels do it.
"""

import torch


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, axis, temperature):
        probabilities = _stable(logits, axis, temperature)[0].to(logits.dtype)
        ctx.save_for_backward(probabilities)
        ctx.axis, ctx.temperature = axis, temperature
        return probabilities

    @staticmethod
    def backward(ctx, upstream):
        return softmax_jvp(*ctx.saved_tensors, upstream, ctx.axis, ctx.temperature), None, None


class _LogSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, axis, temperature):
        probabilities, logarithms = _stable(logits, axis, temperature)
        ctx.save_for_backward(probabilities.to(logits.dtype))
        ctx.axis, ctx.temperature = axis, temperature
        return logarithms.to(logits.dtype)

    @staticmethod
    def backward(ctx, upstream):
        (probabilities,) = ctx.saved_tensors
        return (upstream - probabilities * upstream.sum(ctx.axis, keepdim=True)) / ctx.temperature, None, None


def _stable(logits, axis, temperature):
    if temperature <= 0:
        raise ValueError(f"temperature {temperature} is not positive")
    wide = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    top = wide.amax(axis, keepdim=True)
    scores = (wide - torch.where(torch.isinf(top), torch.zeros_like(top), top)).div(temperature)
    weights = scores.exp()
    total = weights.sum(axis, keepdim=True)
    total = torch.where(total == 0, torch.ones_like(total), total)
    return weights / total, scores - total.log()


def softmax(logits, axis=-1, temperature=1.0):
    return _Softmax.apply(logits, axis, temperature)


def log_softmax(logits, axis=-1, temperature=1.0):
    return _LogSoftmax.apply(logits, axis, temperature)


def softmax_jvp(probabilities, vector, axis=-1, temperature=1.0):
    if probabilities.shape != vector.shape or temperature <= 0:
        raise ValueError("shapes differ, or the temperature is not positive")
    share = torch.mul(probabilities, vector)
    return torch.addcmul(share, probabilities, share.sum(axis, keepdim=True), value=-1) / temperature
