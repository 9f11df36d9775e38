"""Learning-rate schedules, in NumPy.

Count in float64, which holds every whole step exactly, and cast at the way out. Four of the six are one curve between
two rates; they differ in how much of the way lies behind. The trap is the first step of a cycle: a logarithm puts it
into the cycle before by a rounding error, so the first steps are listed as whole numbers and looked up.
"""

import numpy as np


def step_decay(step: np.ndarray, base: float, every: int, factor: float = 0.1) -> np.ndarray:
    _positive(every=every)
    return _like(step, base * factor ** np.floor(np.float64(step) / every))


def exponential_decay(step: np.ndarray, base: float, factor: float, over: float = 1) -> np.ndarray:
    _positive(over=over)
    return _like(step, base * factor ** (np.float64(step) / over))


def polynomial_decay(step: np.ndarray, base: float, total: int, end: float = 0.0, power: float = 1.0) -> np.ndarray:
    _positive(total=total)
    left = 1 - np.minimum(np.float64(step) / total, 1)
    return _like(step, end + (base - end) * left**power)


def cosine_annealing(step: np.ndarray, base: float, total: int, end: float = 0.0) -> np.ndarray:
    _positive(total=total)
    return _like(step, _half_cosine(base, end, np.minimum(np.float64(step) / total, 1)))


def warm_restarts(step: np.ndarray, base: float, first: int, growth: int = 1, end: float = 0.0) -> np.ndarray:
    _positive(first=first, growth=growth)
    step64 = np.float64(step)
    if growth == 1:
        behind = step64 % first / first
    else:
        starts = np.array(_first_steps(first, growth), np.float64)
        cycle = np.searchsorted(starts, step64, side="right") - 1
        behind = (step64 - starts[cycle]) / (first * float(growth) ** cycle)
    return _like(step, _half_cosine(base, end, behind))


def one_cycle(
    step: np.ndarray, peak: float, total: int, warmup: float = 0.3, divide: float = 25.0, final_divide: float = 1e4
) -> np.ndarray:
    top, last = warmup * total - 1, total - 1
    if not 0 < top < last:
        raise ValueError(f"{warmup} of {total} steps leave no way up or no way down")
    step64 = np.minimum(np.float64(step), last)
    up = _half_cosine(peak / divide, peak, step64 / top)
    down = _half_cosine(peak, peak / divide / final_divide, (step64 - top) / (last - top))
    return _like(step, np.where(step64 <= top, up, down))


def _half_cosine(start: float, end: float, behind: np.ndarray) -> np.ndarray:
    return end + (start - end) * (1 + np.cos(np.pi * behind)) / 2


def _first_steps(first: int, growth: int) -> list[int]:
    """The first step of every cycle, as far as float64 counts exactly."""
    starts, length = [0], first
    while starts[-1] + length < 2**53:
        starts.append(starts[-1] + length)
        length *= growth
    return starts


def _like(step: np.ndarray, rate: np.ndarray) -> np.ndarray:
    return rate.astype(step.dtype if step.dtype.kind == "f" else np.float32)


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if value <= 0:
            raise ValueError(f"{name} must be positive, but is {value}")
