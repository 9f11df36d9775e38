"""The official schedules: the learner's function, the number of steps and its arguments to the rate at each step.

A rate is nan where the official schedule is another one.
"""

import numpy as np


def torch_rates(name, count, base, *arguments):
    """The rate of an optimiser before each step, as a scheduler of PyTorch sets it."""
    from torch import optim, zeros
    from torch.optim import lr_scheduler as torch

    schedulers = {
        "step_decay": torch.StepLR,
        "exponential_decay": lambda optimiser, factor, over: torch.ExponentialLR(optimiser, factor ** (1 / over)),
        "polynomial_decay": lambda optimiser, total, end, power: torch.PolynomialLR(optimiser, total, power),
        "cosine_annealing": torch.CosineAnnealingLR,
        "warm_restarts": torch.CosineAnnealingWarmRestarts,
        "one_cycle": lambda optimiser, total, warmup, divide, final_divide: torch.OneCycleLR(
            optimiser, base, total, pct_start=warmup, div_factor=divide, final_div_factor=final_divide
        ),
    }
    end = arguments[1] if name == "polynomial_decay" else 0.0  # the official polynomial goes to 0
    optimiser = optim.SGD([zeros(1)], lr=base - end)
    scheduler, rates = schedulers[name](optimiser, *arguments), np.zeros(count)
    for t in range(count):
        rates[t] = optimiser.param_groups[0]["lr"] + end
        optimiser.step()
        scheduler.step()
    if name == "cosine_annealing":
        rates[arguments[0] + 1 :] = np.nan  # it rises again after its end
    return rates


def keras_rates(name, count, base, *arguments):
    """The rate at each step, as a schedule of Keras gives it."""
    from keras.optimizers import schedules as keras

    def two_halves(total, warmup, divide, final_divide):
        highest = warmup * total - 1
        up = keras.CosineDecay(base / divide, highest, alpha=divide)
        down = keras.CosineDecay(base, total - 1 - highest, alpha=1 / divide / final_divide)
        return lambda t: up(float(t)) if t <= highest else down(t - highest)

    schedules = {
        "step_decay": lambda every, factor: keras.ExponentialDecay(base, every, factor, staircase=True),
        "exponential_decay": lambda factor, over: keras.ExponentialDecay(base, over, factor),
        "polynomial_decay": lambda total, end, power: keras.PolynomialDecay(base, total, end, power),
        "cosine_annealing": lambda total, end: keras.CosineDecay(base, total, end / base),
        "warm_restarts": lambda first, growth, end: keras.CosineDecayRestarts(base, first, growth, 1.0, end / base),
        "one_cycle": two_halves,
    }
    rates = np.array([float(schedules[name](*arguments)(t)) for t in range(count)])
    if name == "warm_restarts":
        rates[arguments[0] :: arguments[0]] = np.nan  # its float32 may round to either cycle
    return rates


OFFICIAL = {"torch": torch_rates, "tensorflow": keras_rates}
