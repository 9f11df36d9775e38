"""Integers stay integers until the division; all steps walk through the cycles together."""

import torch

WIDE = torch.float64


def step_decay(step, base, every, factor=0.1):
    if every <= 0:
        raise ValueError("stairs need a width")
    return finish(step, base * torch.tensor(factor, dtype=WIDE) ** (wide(step) // every))


def exponential_decay(step, base, factor, over=1):
    if over <= 0:
        raise ValueError("a decay needs time")
    return finish(step, base * torch.tensor(factor, dtype=WIDE) ** share(step, over))


def polynomial_decay(step, base, total, end=0.0, power=1.0):
    if total <= 0:
        raise ValueError("a decay needs time")
    gone = share(wide(step).clamp(max=total), total)
    return finish(step, base - (base - end) * (1 - (1 - gone) ** power))


def cosine_annealing(step, base, total, end=0.0):
    if total <= 0:
        raise ValueError("a decay needs time")
    rates = curve(base, end, share(wide(step), total))
    rates[wide(step) >= total] = end
    return finish(step, rates)


def warm_restarts(step, base, first, growth=1, end=0.0):
    if first <= 0 or growth < 1:
        raise ValueError("a cycle needs time")
    here = wide(step).clone()
    length = torch.full_like(here, first)
    if growth == 1:
        here %= first
    while (past := here >= length).any():
        here = torch.where(past, here - length, here)
        length = torch.where(past, length * growth, length)
    return finish(step, curve(base, end, share(here, length)))


def one_cycle(step, peak, total, warmup=0.3, divide=25.0, final_divide=1e4):
    if warmup * total <= 1 or warmup >= 1:
        raise ValueError("no way up, or none down")
    low, top = peak / divide, warmup * total - 1
    here = step.to(WIDE)
    rises = here < top
    ends = torch.tensor([[low, 0, top], [low / final_divide, top, total - 1 - top]], dtype=WIDE, device=step.device)
    lowest, begin, length = ends[(~rises).long()].unbind(-1)
    gone = ((here - begin) / length).clamp(max=1)
    return finish(step, torch.where(rises, curve(lowest, peak, gone), curve(peak, lowest, gone)))


def share(part, whole):
    return part.to(WIDE) / whole


def curve(high, low, gone):
    return (high + low) / 2 + (high - low) / 2 * torch.cos(torch.pi * gone)


def wide(step):
    return step.to(WIDE if step.is_floating_point() else torch.int64)


def finish(step, rate):
    return rate.type(step.dtype if step.is_floating_point() else torch.get_default_dtype())
