"""One decorator counts and casts; the cycle comes from a logarithm, set right where rounding puts it one too low."""

import functools

import torch


def schedule(function):
    @functools.wraps(function)
    def rated(step, *arguments, **options):
        rate = function(torch.as_tensor(step, dtype=torch.float64), *arguments, **options)
        return rate.to(step.dtype if step.dtype.is_floating_point else torch.float32)

    return rated


def demand(condition):
    if not condition:
        raise ValueError("these numbers make no schedule")


def swing(high, low, share):
    """sin² instead of the cosine: 0 at the start of the way and 1 at its end."""
    return torch.lerp(
        torch.full_like(share, high), torch.full_like(share, low), torch.sin(share * (torch.pi / 2)).square()
    )


@schedule
def step_decay(step, base, every, factor=0.1):
    demand(every > 0)
    return torch.pow(factor, torch.div(step, every, rounding_mode="floor")).mul(base)


@schedule
def exponential_decay(step, base, factor, over=1):
    demand(over > 0)
    return base * torch.exp(step * (torch.log(torch.tensor(factor, dtype=torch.float64)) / over))


@schedule
def polynomial_decay(step, base, total, end=0.0, power=1.0):
    demand(total > 0)
    left = torch.relu(total - step) / total
    return torch.where(step < total, (base - end) * left.pow(power) + end, end)


@schedule
def cosine_annealing(step, base, total, end=0.0):
    demand(total > 0)
    return swing(base, end, torch.fmin(step, torch.tensor(float(total))) / total)


@schedule
def warm_restarts(step, base, first, growth=1, end=0.0):
    demand(first > 0 and growth >= 1)
    if growth == 1:
        return swing(base, end, torch.remainder(step, first) / first)
    scale = torch.log(torch.tensor(float(growth), dtype=torch.float64))

    def begin(cycle):
        return first * (torch.round(growth**cycle) - 1) / (growth - 1)

    cycle = torch.floor(torch.log1p(step * (growth - 1) / first) / scale)
    cycle = cycle + (begin(cycle + 1) <= step).double() - (begin(cycle) > step).double()
    return swing(base, end, (step - begin(cycle)) / (begin(cycle + 1) - begin(cycle)))


@schedule
def one_cycle(step, peak, total, warmup=0.3, divide=25.0, final_divide=1e4):
    demand(warmup * total > 1 and warmup < 1)
    top = warmup * total - 1
    rising = (step / top).clamp(0, 1)
    falling = ((step - top) / (total - 1 - top)).clamp(0, 1)
    return swing(peak / divide, peak, rising) + swing(0.0, peak / divide / final_divide - peak, falling)
