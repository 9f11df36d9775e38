"""Levels of the lr_schedules kata. Expected values come from formulas in plain Python, and official schedules."""

import math

import numpy as np
import pytest

from dojo import level
from katas.training.lr_schedules.lr_schedules_support import OFFICIAL

refusals = level(1, "shapes and refusals")
powers = level(2, "steps and powers")
one_curve = level(3, "polynomial and cosine", points=2)
warm_restarts = level(4, "warm restarts", points=2)
one_cycle = level(5, "one cycle", points=2)
long_runs = level(6, "long runs, fractions, dtypes")
whole_curves = level(7, "a whole curve at once")

SHAPES = {"scalar": (), "one": (1,), "odd": (7,), "matrix": (2, 5), "empty": (0,)}


def along_cosine(start, end, behind):
    return end + (start - end) * (1 + math.cos(math.pi * behind)) / 2


def in_cycles(t, base, first, growth=1, end=0.0):
    """Walk through the cycles, one after the other; those of equal length need no walk."""
    t, length = (t % first if growth == 1 else t), first
    while t >= length:
        t, length = t - length, length * growth
    return along_cosine(base, end, t / length)


def up_and_down(t, peak, total, warmup=0.3, divide=25.0, final_divide=1e4):
    highest, start = warmup * total - 1, peak / divide
    if t <= highest:
        return along_cosine(start, peak, t / highest)
    return along_cosine(peak, start / final_divide, min((t - highest) / (total - 1 - highest), 1))


ORACLES = {
    "step_decay": lambda t, base, every, factor=0.1: base * factor ** (t // every),
    "exponential_decay": lambda t, base, factor, over=1: base * factor ** (t / over),
    "polynomial_decay": lambda t, base, total, end=0.0, power=1.0: end + (base - end) * max(1 - t / total, 0) ** power,
    "cosine_annealing": lambda t, base, total, end=0.0: along_cosine(base, end, min(t / total, 1)),
    "warm_restarts": in_cycles,
    "one_cycle": up_and_down,
}

# The arguments after the step, one set for each function.
USUAL = {
    "step_decay": (0.5, 7, 0.3),
    "exponential_decay": (0.5, 0.9, 7),
    "polynomial_decay": (0.5, 40, 0.01, 2.0),
    "cosine_annealing": (0.5, 40, 0.01),
    "warm_restarts": (0.5, 5, 2, 0.01),
    "one_cycle": (0.5, 40, 0.25, 10.0, 50.0),
}
REFUSED = {
    "step_decay": [(0.5, 0), (0.5, -3)],
    "exponential_decay": [(0.5, 0.9, 0), (0.5, 0.9, -3)],
    "polynomial_decay": [(0.5, 0), (0.5, -3)],
    "cosine_annealing": [(0.5, 0), (0.5, -3)],
    "warm_restarts": [(0.5, 0), (0.5, -3), (0.5, 5, 0), (0.5, 5, -2)],
    "one_cycle": [(0.5, 10, 0.05), (0.5, 8, 0.125), (0.5, 10, 1.0), (0.5, 10, 1.5), (0.5, 0)],
}
ALL = pytest.mark.parametrize("name", ORACLES)


def by_hand(name, steps, *arguments, **options):
    """The rate at each step, float64."""
    steps = np.asarray(steps)
    rates = [ORACLES[name](t, *arguments, **options) for t in steps.reshape(-1).tolist()]
    return np.array(rates, "float64").reshape(steps.shape)


def check_rates(impl, fw, name, steps, *arguments, dtype="float32"):
    """The learner's function on these steps; a float32 rate may be off by a millionth of the range of rates."""
    steps = np.asarray(steps)
    tensor = fw.array(steps, dtype if steps.dtype.kind == "f" else None)
    atol = {"float64": 1e-12, "float32": 1e-6, "float16": 2e-3}[dtype]
    rates = getattr(impl, name)(tensor, *arguments)
    fw.close(rates, by_hand(name, steps, *arguments), of=f"{name} of {steps.dtype} steps", dtype=dtype, atol=atol)
    fw.check_unchanged(tensor, steps, of="step")
    return rates


def check_official(impl, fw, name, count, *arguments):
    """The same rates as a schedule of the framework, where that says something."""
    official = OFFICIAL[fw.name](name, count, *arguments)
    steps = np.flatnonzero(np.isfinite(official))
    rates = getattr(impl, name)(fw.array(steps), *arguments)
    fw.close(rates, official[steps], of=f"{name}, beside the official schedule,", atol=1e-6)


@refusals
@ALL
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_step_has_its_rate(impl, fw, name, shape):
    """At step 0, where a run begins: the value is the first argument, or its share in one_cycle."""
    rates = getattr(impl, name)(fw.array(np.zeros(shape, "int64")), *USUAL[name])
    fw.close(rates, np.full(shape, 0.05 if name == "one_cycle" else 0.5), of=f"{name} at step 0")


@refusals
@pytest.mark.parametrize("name, arguments", [(name, each) for name, several in REFUSED.items() for each in several])
def test_numbers_that_make_no_schedule_are_refused(impl, fw, name, arguments):
    with pytest.raises(ValueError):
        getattr(impl, name)(fw.array(np.arange(3)), *arguments)


@powers
@pytest.mark.parametrize("every", [1, 5, 30, 100])
@pytest.mark.parametrize("factor", [0.1, 0.75])
def test_stairs_go_down_after_as_many_steps_as_asked(impl, fw, rng, every, factor):
    check_rates(impl, fw, "step_decay", np.arange(64), rng.uniform(0.1, 1), every, factor)


@powers
@pytest.mark.parametrize("over", [1, 3, 64, 2.5])
@pytest.mark.parametrize("factor", [0.5, 0.95, 1.02])
def test_an_exponential_falls_at_every_step(impl, fw, rng, over, factor):
    check_rates(impl, fw, "exponential_decay", np.arange(64), rng.uniform(0.1, 1), factor, over)


@powers
def test_steps_and_powers_have_defaults(impl, fw):
    check_rates(impl, fw, "step_decay", np.arange(12), 0.5, 4)
    check_rates(impl, fw, "exponential_decay", np.arange(12), 0.5, 0.9)


@powers
def test_steps_need_no_order(impl, fw, rng):
    steps = rng.integers(0, 60, (3, 7))
    check_rates(impl, fw, "step_decay", steps, 0.5, 11, 0.5)
    check_rates(impl, fw, "exponential_decay", steps, 0.5, 0.9, 4)


@powers(autograd=True)
def test_steps_and_powers_are_the_official_ones(impl, fw):
    check_official(impl, fw, "step_decay", 50, 0.3, 7, 0.5)
    check_official(impl, fw, "exponential_decay", 50, 0.3, 0.5, 7)


@one_curve
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("end", [0.0, 0.08])
def test_a_polynomial_ends_where_it_should_and_stays(impl, fw, rng, power, end):
    check_rates(impl, fw, "polynomial_decay", np.arange(60), rng.uniform(0.1, 1), 41, end, power)


@one_curve
@pytest.mark.parametrize("end", [0.0, 0.08])
@pytest.mark.parametrize("total", [1, 2, 41, 100])
def test_half_a_cosine_ends_where_it_should_and_stays(impl, fw, rng, end, total):
    check_rates(impl, fw, "cosine_annealing", np.arange(90), rng.uniform(0.1, 1), total, end)


@one_curve
def test_polynomial_and_cosine_have_defaults(impl, fw):
    check_rates(impl, fw, "polynomial_decay", np.arange(12), 0.5, 9)
    check_rates(impl, fw, "cosine_annealing", np.arange(12), 0.5, 9)


@one_curve
@pytest.mark.parametrize("name", ["polynomial_decay", "cosine_annealing"])
def test_a_schedule_may_rise(impl, fw, name):
    """From a small rate to a large one: a warm-up."""
    check_rates(impl, fw, name, np.arange(30), 0.0, 20, 0.5)


@one_curve(autograd=True)
def test_polynomial_and_cosine_are_the_official_ones(impl, fw):
    check_official(impl, fw, "polynomial_decay", 60, 0.3, 40, 0.02, 1.5)
    check_official(impl, fw, "cosine_annealing", 60, 0.3, 40, 0.02)


def noise_left(rates):
    """E[θ²] after θ ← θ − rate · (θ + noise) at each rate, from θ = 10, with noise of mean 0 and variance 1."""
    square = 100.0
    for rate in np.asarray(rates, "float64"):
        square = (1 - rate) ** 2 * square + rate**2
    return square


@one_curve
def test_falling_rates_let_the_noise_settle(impl, fw):
    """Descent on θ²/2 with noisy gradients: a constant rate r stops at r / (2 − r), whatever the number of steps."""
    steps = np.arange(200)
    constant = noise_left(np.full(200, 0.5))
    assert abs(constant - 0.5 / 1.5) < 1e-9
    for name in ("polynomial_decay", "cosine_annealing"):
        left = noise_left(fw.numpy(getattr(impl, name)(fw.array(steps), 0.5, 200)))
        assert left < constant / 10, f"after {name} {left:.3f} of noise is left, after a constant rate {constant:.3f}"


@warm_restarts
@pytest.mark.parametrize("growth", [1, 2, 3])
@pytest.mark.parametrize("first", [1, 4, 7])
def test_each_cycle_begins_at_the_top(impl, fw, rng, first, growth):
    check_rates(impl, fw, "warm_restarts", np.arange(100), rng.uniform(0.1, 1), first, growth, 0.03)


@warm_restarts
def test_cycles_have_defaults(impl, fw):
    check_rates(impl, fw, "warm_restarts", np.arange(20), 0.5, 6)


@warm_restarts
@pytest.mark.parametrize("growth", [2, 3, 5, 10])
@pytest.mark.parametrize("first", [1, 10, 49])
def test_a_cycle_begins_on_its_very_step(impl, fw, first, growth):
    """The last step before and the first step after each restart, as far as 2²³."""
    starts = [start for n in range(1, 24) if (start := first * (growth**n - 1) // (growth - 1)) < 2**23]
    steps = np.array([[start - 1, start, start + 1] for start in starts])
    check_rates(impl, fw, "warm_restarts", steps, 0.5, first, growth)


@warm_restarts
def test_cycles_in_a_matrix_of_steps(impl, fw, rng):
    check_rates(impl, fw, "warm_restarts", rng.integers(0, 200, (3, 2, 5)), 0.5, 3, 2, 0.1)


@warm_restarts(autograd=True)
@pytest.mark.parametrize("growth", [1, 2])
def test_restarts_are_the_official_ones(impl, fw, growth):
    check_official(impl, fw, "warm_restarts", 45, 0.3, 6, growth, 0.02)


@one_cycle
@pytest.mark.parametrize("total", [10, 41, 100])
@pytest.mark.parametrize("warmup", [0.2, 0.3, 0.75])
def test_one_way_up_and_one_way_down(impl, fw, rng, total, warmup):
    check_rates(impl, fw, "one_cycle", np.arange(total + 5), rng.uniform(0.1, 1), total, warmup, 10.0, 20.0)


@one_cycle
def test_one_cycle_has_defaults(impl, fw):
    check_rates(impl, fw, "one_cycle", np.arange(60.0), 0.5, 50, dtype="float64")


@one_cycle
def test_the_top_and_the_end_are_where_the_formula_says(impl, fw):
    """Step warmup · total − 1 is whole here; the last step is total − 1."""
    rates = impl.one_cycle(fw.array(np.array([0, 9, 39, 40, 41, 1000])), 0.8, 40, 0.25, 16.0, 10.0)
    fw.close(rates, np.array([0.05, 0.8, 0.005, 0.005, 0.005, 0.005]), of="one_cycle at its corners", atol=1e-6)


@one_cycle(autograd=True)
def test_one_cycle_is_the_official_one(impl, fw):
    """Of torch; Keras has only its halves, and CosineDecay is each of them."""
    check_official(impl, fw, "one_cycle", 41, 0.4, 41, 0.27, 8.0, 40.0)


@long_runs
@pytest.mark.parametrize(
    ("name", "start", "arguments"),
    [
        ("step_decay", 2**24, (0.5, 2**24 + 1, 0.1)),
        ("step_decay", 2**40 - 2, (0.5, 2**40 - 1, 0.1)),
        ("exponential_decay", 2**40, (0.5, 0.5, 2**38)),
        ("polynomial_decay", 2**24 - 2, (0.5, 2**24 + 3, 0.0, 0.25)),
        ("cosine_annealing", 2**39, (0.5, 2**40)),
        ("warm_restarts", 2**24, (0.5, 5)),
        ("warm_restarts", 2**40 - 3, (0.5, 7)),
        ("warm_restarts", 2**40 - 8, (0.5, 5, 2)),
        ("warm_restarts", 2**25 - 3, (0.5, 1, 2)),
        ("one_cycle", 2**24 - 4, (0.5, 2**24 + 2, 0.5)),
    ],
)
def test_large_steps_count_exactly(impl, fw, name, start, arguments):
    check_rates(impl, fw, name, np.arange(start, start + 6), *arguments)


@long_runs
@ALL
def test_a_step_may_be_a_fraction(impl, fw, rng, name):
    check_rates(impl, fw, name, rng.uniform(0, 50, 40), *USUAL[name])


@long_runs
@ALL
def test_float64_steps_have_float64_rates(impl, fw, rng, name):
    check_rates(impl, fw, name, rng.uniform(0, 50, 40), *USUAL[name], dtype="float64")


@long_runs
@ALL
def test_float16_steps_have_float16_rates(impl, fw, name):
    check_rates(impl, fw, name, np.arange(0, 10, 0.5), *USUAL[name], dtype="float16")


@long_runs
@ALL
def test_small_integer_dtypes_do_not_overflow(impl, fw, name):
    for dtype in ("int32", "uint8"):
        check_rates(impl, fw, name, np.arange(0, 100, 3, dtype=dtype), *USUAL[name])


@whole_curves
@ALL
def test_as_much_work_for_a_thousand_steps_as_for_two(impl, fw, name):
    def rates(steps):
        return getattr(impl, name)(steps, *USUAL[name])

    fw.check_no_loops(rates, [np.array([0, 999])], [np.arange(1000)], of=name)


@whole_curves
def test_one_step_at_a_time_without_knowing_it(impl, fw):
    """In TensorFlow inside a compiled function, where the step has no value when the function runs."""

    def rates_at(step):
        return [getattr(impl, name)(step, *USUAL[name]) for name in ORACLES]

    rates_at = fw.traced(rates_at)
    for t in (0, 3, 9, 14, 15, 35, 44):
        for name, rate in zip(ORACLES, rates_at(fw.array(t)), strict=True):
            fw.close(rate, by_hand(name, t, *USUAL[name]), of=f"{name} at step {t}", atol=1e-6)


@pytest.mark.gpu
@whole_curves
@ALL
def test_the_rates_stay_on_the_gpu(impl, gpu, name):
    rates = check_rates(impl, gpu, name, np.arange(60), *USUAL[name])
    gpu.check_device(rates, of=name)
