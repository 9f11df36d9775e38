"""Learning-rate schedules, in TensorFlow.

The learning rate decides how far a step goes. Large rates are fast and keep bouncing in the noise of the batches;
small ones settle but creep. A schedule begins large and ends small. Each one here is a pure function of the step: no
object counts, so a run resumes at any step, and a whole curve is one call. The first step is step 0.

Loshchilov and Hutter 2017 (SGDR) gave the cosine and its restarts, Smith and Topin 2018 (super-convergence) the
single cycle.

In all six functions:
    step         of any shape, not negative. Integers up to 2⁴⁰ count exactly (float32 cannot tell 2²⁴ + 1 from 2²⁴).
                 Floating steps are allowed, and may be fractions such as epoch + batch / batches.
    the result   a rate for each step, in the shape of `step`; float32 for integer steps, otherwise the dtype of `step`.
                 It lies on the device of `step`.
    other        plain Python numbers.

An optimiser asks for the rate inside its compiled step: there the value of `step` is not known when the function runs.

Levels     1 shapes and refusals · 2 steps and powers · 3 polynomial and cosine · 4 warm restarts · 5 one cycle ·
           6 long runs, fractions, dtypes · 7 a whole curve at once
Off limits the classes of keras.optimizers.schedules
Check      pytest -k lr_schedules
"""

from tensorflow import Tensor


def step_decay(step: Tensor, base: float, every: int, factor: float = 0.1) -> Tensor:
    """Multiply the rate by `factor` after `every` steps, again and again; constant in between.

        base · factor^⌊step / every⌋

    Raises:
        ValueError: every is not positive.
    """
    raise NotImplementedError("step_decay is yours to write")


def exponential_decay(step: Tensor, base: float, factor: float, over: float = 1) -> Tensor:
    """Multiply the rate by `factor` in the course of `over` steps, a little at every step.

        base · factor^(step / over)

    Raises:
        ValueError: over is not positive.
    """
    raise NotImplementedError("exponential_decay is yours to write")


def polynomial_decay(step: Tensor, base: float, total: int, end: float = 0.0, power: float = 1.0) -> Tensor:
    """Go from `base` at step 0 to `end` at step `total`, and stay at `end` from there on.

        end + (base − end) · (1 − step / total)^power

    A power of 1 is a straight line; a larger one falls early and flattens out.

    Raises:
        ValueError: total is not positive.
    """
    raise NotImplementedError("polynomial_decay is yours to write")


def cosine_annealing(step: Tensor, base: float, total: int, end: float = 0.0) -> Tensor:
    """Go from `base` at step 0 to `end` at step `total` on half a cosine, and stay at `end` from there on.

        end + (base − end) · (1 + cos(π · step / total)) / 2

    Raises:
        ValueError: total is not positive.
    """
    raise NotImplementedError("cosine_annealing is yours to write")


def warm_restarts(step: Tensor, base: float, first: int, growth: int = 1, end: float = 0.0) -> Tensor:
    """Cosine annealing in cycles without end: each begins at `base` and falls towards `end`.

    Within a cycle of n steps, the rate at its steps 0, 1, …, n − 1 is that of `cosine_annealing` with total = n; so
    `end` itself is not reached: the next cycle begins at `base` instead. The first cycle has `first` steps, and each
    further one `growth` times as many as the one before.

    Raises:
        ValueError: first is not positive, or growth is smaller than 1.
    """
    raise NotImplementedError("warm_restarts is yours to write")


def one_cycle(
    step: Tensor, peak: float, total: int, warmup: float = 0.3, divide: float = 25.0, final_divide: float = 1e4
) -> Tensor:
    """Rise to `peak`, then fall far below the start: half a cosine each, as torch.optim.lr_scheduler.OneCycleLR.

    There are `total` steps, so the last is step total − 1. The rate goes

        from  peak / divide                  at step 0
        to    peak                           at step warmup · total − 1 (which need not be whole)
        to    peak / divide / final_divide   at step total − 1, and stays there.

    Each way is `cosine_annealing` between its two ends, upwards on the first.

    Raises:
        ValueError: warmup · total is not more than 1, or warmup is not less than 1.
    """
    raise NotImplementedError("one_cycle is yours to write")
