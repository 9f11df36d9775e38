"""Levels of the bayesian_search kata.

Expected values come from the formula with an explicit solution of the linear system, from a numerical integral over the
normal density, and from random search at the same budget.
"""

import math
import random

import numpy as np
import pytest

from dojo import level

refusals = level(1, "refusals")
posterior = level(2, "the posterior", points=3)
expected_improvement = level(3, "expected improvement", points=2)
rounding = level(4, "rounding")
no_loops = level(5, "no loops")
ask_tell = level(6, "ask and tell", points=3)
against_random_search = level(7, "against random search", points=2)


def by_hand(points, values, candidates, length, noise):
    """Mean and deviation, one candidate at a time."""
    covariance = np.array([[kernel(a, b, length) for b in points] for a in points]).reshape(len(points), len(points))
    covariance += noise * np.eye(len(points))
    mean, deviation = np.zeros(len(candidates)), np.ones(len(candidates))
    for i, candidate in enumerate(candidates if len(points) else []):
        cross = np.array([kernel(point, candidate, length) for point in points])
        solved = np.linalg.solve(covariance, cross)
        mean[i], deviation[i] = solved @ values, math.sqrt(max(1 - solved @ cross, 0))
    return mean, deviation


def kernel(a, b, length):
    return math.exp(-sum(((a - b) / length) ** 2) / 2)


def improvement_by_hand(mean, deviation, best):
    """∫ max(best − f, 0) over the normal density of f, as the sum of gains t: t has the density of best − t."""
    if deviation == 0:
        return max(best - mean, 0)
    gains = np.linspace(0, max(best - mean, 0) + 12 * deviation, 40001)
    z = (best - gains - mean) / deviation
    return np.trapezoid(gains * np.exp(-(z**2) / 2), gains) / (deviation * math.sqrt(2 * math.pi))


# -------------------------------------------------------------------- 1 refusals


@refusals
@pytest.mark.parametrize(
    "change",
    [
        {"values": np.zeros(3)},
        {"candidates": np.zeros((5, 3))},
        {"candidates": np.zeros((5, 1))},
        {"length": 0.0},
        {"length": -1.0},
        {"length": np.array([1.0, 0.0])},
        {"noise": 0.0},
        {"noise": -1e-6},
    ],
    ids=[
        "count",
        "width",
        "width of one",
        "no length",
        "negative length",
        "one of two lengths",
        "no noise",
        "negative noise",
    ],
)
def test_arguments_that_make_no_sense_are_refused(impl, fw, rng, change):
    usual = {"points": rng.random((4, 2)), "values": rng.random(4), "candidates": rng.random((5, 2)), "length": 0.3}
    impl.posterior(**usual)
    with pytest.raises(ValueError):
        impl.posterior(**(usual | change))


@refusals
@pytest.mark.parametrize("bounds, initial", [([(1.0, 1.0)], 5), ([(0.0, 1.0), (2.0, 1.0)], 5), ([(0.0, 1.0)], 0)])
def test_a_search_in_nothing_is_refused(impl, fw, bounds, initial):
    with pytest.raises(ValueError):
        impl.BayesianSearch(bounds, seed=0, initial=initial)


@refusals
@pytest.mark.parametrize("point", [(0.5,), (0.5, 20.0, 0.5), (1.5, 20.0), (-0.1, 20.0), (0.5, 9.0)], ids=str)
def test_a_point_outside_of_the_box_is_refused(impl, fw, point):
    search = impl.BayesianSearch([(0.0, 1.0), (10.0, 30.0)], seed=0)
    with pytest.raises(ValueError):
        search.tell(np.array(point), 1.0)


@refusals
@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, math.nan, -math.inf]], ids=["none", "nan", "not finite"])
def test_there_is_no_best_without_a_finite_value(impl, fw, values):
    search = impl.BayesianSearch([(0.0, 1.0)], seed=0)
    for value in values:
        search.tell([0.5], value)
    with pytest.raises(ValueError):
        search.best()


# -------------------------------------------------------------------- 2 the posterior


@posterior
@pytest.mark.parametrize("count, width, candidates", [(1, 1, 1), (6, 2, 9), (9, 3, 4), (0, 2, 3), (4, 1, 0)])
@pytest.mark.parametrize("noise", [1e-6, 0.3])
def test_mean_and_deviation(impl, fw, rng, count, width, candidates, noise):
    points, values, asked = rng.random((count, width)), rng.standard_normal(count), rng.random((candidates, width))
    mean, deviation = impl.posterior(points, values, asked, 0.4, noise)
    expected = by_hand(points, values, asked, 0.4, noise)
    fw.close(mean, expected[0], of="mean", dtype="float64", rtol=1e-6, atol=1e-7)
    fw.close(deviation, expected[1], of="deviation", dtype="float64", rtol=1e-6, atol=1e-6)


@posterior
def test_each_axis_may_have_its_own_length(impl, fw, rng):
    points, values, asked = rng.random((5, 3)), rng.standard_normal(5), rng.random((6, 3))
    length = np.array([0.1, 0.5, 2.0])
    mean, deviation = impl.posterior(points, values, asked, length, 0.01)
    expected = by_hand(points, values, asked, length, 0.01)
    fw.close(mean, expected[0], of="mean", dtype="float64", rtol=1e-6)
    fw.close(deviation, expected[1], of="deviation", dtype="float64", rtol=1e-6)


@posterior
def test_the_noise_is_a_millionth_unless_told(impl, fw, rng):
    """At the points themselves: the mean is the value, and the deviation the root of the noise."""
    points, values = np.array([[0.0], [5.0], [10.0]]), rng.standard_normal(3)
    mean, deviation = impl.posterior(points, values, points, 0.5)
    fw.close(mean, values, of="mean at the points", dtype="float64", rtol=1e-5)
    fw.close(deviation, np.full(3, 1e-3), of="deviation at the points", dtype="float64", rtol=1e-3)


# -------------------------------------------------------------------- 3 expected improvement


@expected_improvement
@pytest.mark.parametrize("best", [-1.3, 0.0, 2.5])
def test_it_is_the_expectation_of_the_gain(impl, fw, rng, best):
    mean, deviation = rng.standard_normal(20) * 2, rng.uniform(0.1, 3, 20)
    expected = np.array([improvement_by_hand(*pair, best) for pair in zip(mean, deviation, strict=True)])
    found = impl.expected_improvement(mean, deviation, best)
    fw.close(found, expected, of="expected improvement", dtype="float64", rtol=1e-4, atol=1e-9)


@expected_improvement
def test_where_nothing_is_uncertain_it_is_the_plain_gain(impl, fw):
    mean, deviation = np.array([1.0, 2.0, 3.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0])
    with np.errstate(divide="raise", invalid="raise"):
        found = impl.expected_improvement(mean, deviation, 2.0)
    expected = [1, 0, 0, improvement_by_hand(1.0, 1.0, 2.0)]
    fw.close(found, np.array(expected), of="expected improvement", dtype="float64", rtol=1e-4)


# -------------------------------------------------------------------- 4 rounding


@rounding
def test_close_points_give_no_nan(impl, fw, rng):
    """Thirty points in a thousandth of a length: rounding makes some variances negative."""
    points = 0.5 + 1e-3 * rng.random((30, 1))
    asked = np.concatenate([points, 0.5 + 1e-3 * rng.random((50, 1)), [[0.9]]])
    with np.errstate(invalid="raise"):
        mean, deviation = impl.posterior(points, np.sin(points[:, 0]), asked, 1.0, 1e-10)
    fw.close(mean[:-1], np.sin(asked[:-1, 0]), of="mean", dtype="float64", rtol=1e-3)
    assert np.isfinite(deviation).all(), f"{np.isnan(deviation).sum()} of {len(deviation)} deviations are nan"
    assert (deviation >= 0).all() and (deviation[:-1] < 0.05).all(), (
        f"among known points the deviation should be nearly zero; it goes from {deviation.min()} to {deviation.max()}"
    )


@rounding
def test_the_far_tail_is_neither_zero_nor_negative(impl, fw):
    z = np.array([-4.0, -6.0, -7.0, -8.0])
    expected = np.array([improvement_by_hand(-value * 2.0, 2.0, 0.0) for value in z])
    found = impl.expected_improvement(-z * 2.0, np.full(4, 2.0), 0.0)
    for place, value in enumerate(z):
        assert found[place] == pytest.approx(expected[place], rel=1e-3, abs=0), (
            f"{-value:g} deviations above the best the expected improvement is {expected[place]:.5g}, "
            f"yours is {found[place]:.5g}"
        )


@rounding
def test_it_is_never_negative(impl, fw, rng):
    mean, deviation = rng.uniform(0, 60, 500), rng.uniform(0, 2, 500)
    found = impl.expected_improvement(mean, deviation, 0.0)
    assert np.isfinite(found).all(), "some expected improvements are not finite"
    assert (found >= 0).all(), f"an expected improvement cannot be negative, and one is {found.min()}"


# -------------------------------------------------------------------- 5 no loops


@no_loops
def test_all_candidates_are_computed_at_once(impl, fw, rng):
    def count(points, candidates, width):
        arrays = rng.random((points, width)), rng.random(points), rng.random((candidates, width))
        return fw.count_ops(lambda *given: impl.posterior(*given, 0.5), *arrays)

    few, many = count(3, 2, 1), count(20, 300, 4)
    assert many <= few, f"300 candidates and 20 points run {many} lines of Python, 2 candidates and 3 points {few}"


# -------------------------------------------------------------------- 6 ask and tell


@ask_tell
def test_the_first_points_are_uniform_in_the_box(impl, fw):
    """A hundred seeds: each quarter of each axis gets its share, within five standard deviations."""
    low, high = np.array([-3.0, 100.0]), np.array([-1.0, 500.0])
    drawn = []
    for seed in range(100):
        search = impl.BayesianSearch(list(zip(low, high, strict=True)), seed, initial=3)
        for _ in range(3):
            drawn.append(search.ask())
            fw.check_shape(drawn[-1], (2,), of="ask()")
            search.tell(drawn[-1], float(len(drawn)))
    unit = (np.array(drawn) - low) / (high - low)
    assert (unit >= 0).all() and (unit <= 1).all(), "a point lies outside of the bounds"
    for axis in range(2):
        shares = np.bincount((unit[:, axis] * 4).astype(int).clip(0, 3), minlength=4) / 300
        assert abs(shares - 0.25).max() < 0.125, f"of 300 first points the quarters of axis {axis} get {shares}"


@ask_tell
@pytest.mark.parametrize("scale, offset", [(1.0, 0.0), (1e-4, 7.0), (1e5, -1e7)], ids=["plain", "small", "large"])
@pytest.mark.parametrize("length", [0.25, 0.1])
def test_the_next_point_promises_the_most(impl, fw, rng, scale, offset, length):
    """Its expected improvement, by hand, is at least 0.9 of the largest on a fine grid, in any units."""
    points, values = rng.random((7, 1)), rng.standard_normal(7)
    search = impl.BayesianSearch([(-2.0, 6.0)], seed=1, initial=7, length=length)
    for point, value in zip(points, values, strict=True):
        search.tell(-2 + 8 * point, scale * value + offset)
    asked = np.concatenate([(search.ask()[None] + 2) / 8, np.linspace(0, 1, 201)[:, None]])
    found, *others = improvements_by_hand(points, values, asked, length)
    largest = max(others)
    assert found > 0.9 * largest, f"the point asked for promises {found:.4g}; the best one promises {largest:.4g}"


@ask_tell
def test_each_axis_counts_in_parts_of_the_box(impl, fw, rng):
    """In a box with sides of 8 and 1000: what four points asked for promise, as a share of the most on a grid."""
    low, sides, shares = np.array([-2.0, 500.0]), np.array([8.0, 1000.0]), []
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 15)] * 2), axis=-1).reshape(-1, 2)
    for seed in range(4):
        points, values = rng.random((7, 2)), rng.standard_normal(7)
        search = impl.BayesianSearch(list(zip(low, low + sides, strict=True)), seed, initial=7)
        for point, value in zip(points, values, strict=True):
            search.tell(low + sides * point, value)
        asked = np.concatenate([(search.ask()[None] - low) / sides, grid])
        promised = improvements_by_hand(points, values, asked, 0.25)
        shares.append(promised[0] / promised[1:].max())
    assert np.mean(shares) > 0.9, (
        f"the points asked for promise {np.round(shares, 2)} of the best on a grid, {np.mean(shares):.2f} on average; "
        "0.9 is asked for"
    )


def improvements_by_hand(points, values, asked, length):
    """What each point asked about promises, in standard deviations of the values; points are in parts of the box."""
    standard = (values - values.mean()) / values.std()
    pairs = zip(*by_hand(points, standard, asked, length, 1e-6), strict=True)
    return np.array([improvement_by_hand(*pair, standard.min()) for pair in pairs])


@ask_tell
@pytest.mark.parametrize("told", [0, 2, 4, 5, 8])
def test_asking_depends_on_what_was_told_alone(impl, fw, rng, told):
    trials = list(zip(rng.random((told, 2)), rng.random(told), strict=True))

    def told_all(seed, **options):
        search = impl.BayesianSearch([(0.0, 1.0)] * 2, seed, **options)
        for point, value in trials:
            np.random.random(3)  # somebody else draws
            search.ask()
            search.tell(point, value)
        return search

    first, again = told_all(7), told_all(7)
    usual, other = told_all(7, initial=5, length=0.25), told_all(8)
    state = global_state()
    point = first.ask()
    assert np.array_equal(point, first.ask()), "asked twice in a row, the search gives two points"
    assert np.array_equal(point, again.ask()), "told the same again, the search does not go on in the same way"
    assert np.array_equal(point, usual.ask()), "unless told, there are 5 random points and the length is 0.25"
    assert state == global_state(), "ask draws from the global generator of random or NumPy, or seeds it"
    assert told >= 5 or not np.array_equal(point, other.ask()), "another seed gives the same random point"


def global_state():
    _, key, position, *_ = np.random.get_state()
    return random.getstate(), key.tolist(), position


@ask_tell
def test_the_best_is_the_lowest_that_was_told(impl, fw):
    search, point = impl.BayesianSearch([(0.0, 1.0)] * 2, seed=0), np.array([0.2, 0.3])
    search.tell([0.0, 1.0], 5.0)  # the bounds belong to the box
    search.tell(point, np.float32(-1.5))
    point[:] = 0.0  # what happens to the array later has no effect
    search.tell([0.4, 0.4], -1.5)
    search.tell([0.5, 0.5], math.nan)
    search.tell([0.6, 0.6], -math.inf)
    found, value = search.best()
    fw.close(found, np.array([0.2, 0.3]), of="best point", dtype="float64")
    assert type(value) is float and value == -1.5, f"the best value is -1.5, and best() says {value!r}"
    found[:] = 1.0
    fw.close(search.best()[0], np.array([0.2, 0.3]), of="best point, its first copy overwritten", dtype="float64")


@ask_tell
def test_failed_trials_count_as_the_worst(impl, fw, rng):
    """Told nan, or told the worst finite value: the same next point."""
    failed = [1, 4, 6]
    for seed in range(10):
        points, values = rng.random((8, 1)), rng.standard_normal(8)
        worst = np.delete(values, failed).max()
        asked = []
        for marks in ([worst] * 3, [math.nan, math.inf, -math.inf]):
            search = impl.BayesianSearch([(0.0, 1.0)], seed, initial=8)
            for number, (point, value) in enumerate(zip(points, values, strict=True)):
                search.tell(point, marks[failed.index(number)] if number in failed else value)
            asked.append(search.ask())
        fw.close(asked[1], asked[0], of="point after failed trials", dtype="float64", atol=1e-3)


@ask_tell
@pytest.mark.parametrize("value", [math.nan, math.inf, 4.0], ids=["nan", "inf", "all equal"])
def test_a_search_without_a_difference_goes_on(impl, fw, value):
    search, asked = impl.BayesianSearch([(0.0, 1.0)] * 2, seed=5, initial=1), []
    for _ in range(6):
        with np.errstate(divide="raise", invalid="raise"):
            asked.append(search.ask())
        search.tell(asked[-1], value)
    assert np.isfinite(asked).all(), "a point is nan"
    assert len(np.unique(asked, axis=0)) == 6, "a point is asked for a second time, although nothing is known elsewhere"


@ask_tell
def test_what_is_asked_for_may_be_told_at_the_edge_too(impl, fw):
    """The values fall towards a corner, and −3 + (0.1 + 3) is more than 0.1 in floating point."""
    low, high = np.array([-3.0, -3.0]), np.array([0.1, 1.2])
    assert (low + (high - low) > high).all(), "the problem is set wrongly: no rounding leads past the corner"
    search = impl.BayesianSearch(list(zip(low, high, strict=True)), seed=0)
    for _ in range(15):
        point = search.ask()
        assert (low <= point).all() and (point <= high).all(), (
            f"the search asks for {point.tolist()}, which lies outside of {low.tolist()} to {high.tolist()}"
        )
        search.tell(point, -point.sum())


# -------------------------------------------------------------------- 7 against random search

SEEDS = 20


def branin(point):
    """A known surface with three equal minima."""
    x, y = point
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def valley(point):
    """Three axes in different units, and values around a million."""
    unit = point * [1e3, 1, 1e-3]
    return 1e6 + 1e3 * ((unit - [0.3, 0.6, 0.8]) ** 2 @ [1, 4, 2])


def dips(point):
    """A wide dip at 0.7, and a narrow one at 0.15 that is deeper: who never looks elsewhere stays in the first."""
    return 1 - 0.7 * math.exp(-(((point[0] - 0.7) / 0.2) ** 2)) - math.exp(-(((point[0] - 0.15) / 0.06) ** 2))


SURFACES = {  # bounds, budget, options of the search
    branin: ([(-5.0, 10.0), (0.0, 15.0)], 25, {}),
    valley: ([(0.0, 1e-3), (0.0, 1.0), (0.0, 1e3)], 25, {}),
    dips: ([(0.0, 1.0)], 15, {"initial": 3, "length": 0.08}),
}


def lowest(impl, surface, seed):
    """The lowest value that the search finds, and that uniform random points find, at the same budget."""
    bounds, budget, options = SURFACES[surface]
    search = impl.BayesianSearch(bounds, seed, **options)
    for _ in range(budget):
        point = search.ask()
        search.tell(point, surface(point))
    low, high = np.array(bounds).T
    return search.best()[1], min(map(surface, np.random.default_rng(seed).uniform(low, high, (budget, len(low)))))


@against_random_search
@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.__name__)
def test_it_finds_lower_values_than_random_search(impl, fw, surface):
    """A sign test over 20 seeds: at least 15 must be better. Equally good searches reach that in 2 % of cases."""
    pairs = np.array([lowest(impl, surface, seed) for seed in range(SEEDS)])
    wins, medians = int((pairs[:, 0] < pairs[:, 1]).sum()), np.median(pairs, axis=0)
    assert wins >= 15, (
        f"on {surface.__name__} it is better than random search for {wins} of {SEEDS} seeds; 15 are asked for. "
        f"The medians of the lowest value are {medians[0]:.6g} and {medians[1]:.6g}"
    )
