"""Learning-rate schedules, in PyTorch.

Count in float64, which holds every whole step exactly, and cast at the way out. Four of the six are one curve between
two rates; they differ in how much of the way lies behind. The trap is the first step of a cycle: a logarithm puts it
into the cycle before by a rounding error, so the first steps are listed as whole numbers and looked up.
"""

import math

import torch
from torch import Tensor


def step_decay(step: Tensor, base: float, every: int, factor: float = 0.1) -> Tensor:
    _positive(every=every)
    return _like(step, base * factor ** torch.floor(step.double() / every))


def exponential_decay(step: Tensor, base: float, factor: float, over: float = 1) -> Tensor:
    _positive(over=over)
    return _like(step, base * factor ** (step.double() / over))


def polynomial_decay(step: Tensor, base: float, total: int, end: float = 0.0, power: float = 1.0) -> Tensor:
    _positive(total=total)
    left = 1 - (step.double() / total).clamp(max=1)
    return _like(step, end + (base - end) * left**power)


def cosine_annealing(step: Tensor, base: float, total: int, end: float = 0.0) -> Tensor:
    _positive(total=total)
    return _like(step, _half_cosine(base, end, (step.double() / total).clamp(max=1)))


def warm_restarts(step: Tensor, base: float, first: int, growth: int = 1, end: float = 0.0) -> Tensor:
    _positive(first=first, growth=growth)
    step64 = step.double()
    if growth == 1:
        behind = step64 % first / first
    else:
        starts = torch.tensor(_first_steps(first, growth), dtype=torch.float64, device=step.device)
        cycle = torch.searchsorted(starts, step64, right=True) - 1
        behind = (step64 - starts[cycle]) / (first * growth ** cycle.double())
    return _like(step, _half_cosine(base, end, behind))


def one_cycle(
    step: Tensor, peak: float, total: int, warmup: float = 0.3, divide: float = 25.0, final_divide: float = 1e4
) -> Tensor:
    top, last = warmup * total - 1, total - 1
    if not 0 < top < last:
        raise ValueError(f"{warmup} of {total} steps leave no way up or no way down")
    step64 = step.double().clamp(max=last)
    up = _half_cosine(peak / divide, peak, step64 / top)
    down = _half_cosine(peak, peak / divide / final_divide, (step64 - top) / (last - top))
    return _like(step, torch.where(step64 <= top, up, down))


def _half_cosine(start: float, end: float, behind: Tensor) -> Tensor:
    return end + (start - end) * (1 + torch.cos(math.pi * behind)) / 2


def _first_steps(first: int, growth: int) -> list[int]:
    """The first step of every cycle, as far as float64 counts exactly."""
    starts, length = [0], first
    while starts[-1] + length < 2**53:
        starts.append(starts[-1] + length)
        length *= growth
    return starts


def _like(step: Tensor, rate: Tensor) -> Tensor:
    return rate.to(step.dtype if step.is_floating_point() else torch.float32)


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if value <= 0:
            raise ValueError(f"{name} must be positive, but is {value}")
