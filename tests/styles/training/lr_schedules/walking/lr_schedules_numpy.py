"""Integers stay integers until the division; all steps walk through the cycles together."""

import numpy as np


def step_decay(step, base, every, factor=0.1):
    if every <= 0:
        raise ValueError("stairs need a width")
    return finish(step, base * np.power(factor, wide(step) // every, dtype="float64"))


def exponential_decay(step, base, factor, over=1):
    if over <= 0:
        raise ValueError("a decay needs time")
    return finish(step, base * np.exp2(np.log2(factor) * wide(step) / over))


def polynomial_decay(step, base, total, end=0.0, power=1.0):
    if total <= 0:
        raise ValueError("a decay needs time")
    left = np.clip(total - wide(step), 0, None) / total
    return finish(step, end * (1 - left**power) + base * left**power)


def cosine_annealing(step, base, total, end=0.0):
    if total <= 0:
        raise ValueError("a decay needs time")
    return finish(step, np.where(wide(step) < total, curve(base, end, wide(step) / total), end))


def warm_restarts(step, base, first, growth=1, end=0.0):
    if first <= 0 or growth < 1:
        raise ValueError("a cycle needs time")
    here = np.array(wide(step))
    length = np.full_like(here, first)
    if growth == 1:
        here %= first
    while np.any(past := here >= length):
        here = np.where(past, here - length, here)
        length = np.where(past, length * growth, length)
    return finish(step, curve(base, end, here / length))


def one_cycle(step, peak, total, warmup=0.3, divide=25.0, final_divide=1e4):
    if warmup * total <= 1 or warmup >= 1:
        raise ValueError("no way up, or none down")
    low, top = peak / divide, warmup * total - 1
    ways = np.clip(np.interp(wide(step), [0, top, total - 1], [0, 1, 2]), 0, 2)
    lowest = np.where(ways <= 1, low, low / final_divide)
    return finish(step, lowest + (peak - lowest) * (1 - np.cos(np.pi * ways)) / 2)


def curve(high, low, share):
    return (high + low) / 2 + (high - low) / 2 * np.cos(np.pi * share)


def wide(step):
    return step.astype("float64" if step.dtype.kind == "f" else "int64")


def finish(step, rate):
    return np.asarray(rate, step.dtype if np.issubdtype(step.dtype, np.floating) else "float32")
