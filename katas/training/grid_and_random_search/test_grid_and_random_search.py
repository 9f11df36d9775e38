"""Levels of the grid_and_random_search kata. Expected values come from nested loops, from distribution functions in
closed form, and from rankings by hand.
"""

import itertools
import json
import math
import random

import numpy as np
import pytest

from dojo import level

refusals = level(1, "refusals")
grid = level(2, "the grid")
random_points = level(3, "random points", points=2)
logarithmic_axes = level(4, "logarithmic axes")
seeds = level(5, "seeds")
budget_table = level(6, "budget and table", points=2)
random_against_grid = level(7, "random against grid", points=2)

SPACE = {
    "rate": ("log_uniform", 1e-5, 1e-1),
    "decay": ("uniform", -0.5, 2.0),
    "layers": ("integer", 1, 5),
    "optimiser": ("choice", ["sgd", None, 32, (1, 2)]),
}
COUNT = 3000


def distance(values, cumulative):
    """Kolmogorov's: the largest gap between the share of values up to x and the distribution function at x."""
    values = np.sort(np.asarray(values, "float64"))
    expected, steps = cumulative(values), np.arange(len(values) + 1) / len(values)
    return max(np.max(steps[1:] - expected), np.max(expected - steps[:-1]))


def check_distribution(values, cumulative, of):
    """Right draws exceed the limit once in twenty thousand seeds."""
    gap, limit = distance(values, cumulative), 2.3 / math.sqrt(len(values))
    assert gap < limit, f"{of}: the share of draws is off by {gap:.3f} at its worst place; chance explains {limit:.3f}"


def check_equally_likely(values, options, of):
    """Each option within five standard deviations of its share."""
    share = 1 / len(options)
    limit = 5 * math.sqrt(share * (1 - share) / len(values))
    for option in options:
        found = sum(value == option for value in values) / len(values)
        assert abs(found - share) <= limit, f"{of}: {option!r} is drawn in {found:.1%} of cases, not in {share:.1%}"


def column(points, name):
    return [point[name] for point in points]


# -------------------------------------------------------------------- 1 refusals


@refusals
@pytest.mark.parametrize(
    "axis",
    [
        ("normal", 0.0, 1.0),
        ("uniform", 1.0, 1.0),
        ("uniform", 2.0, 1.0),
        ("log_uniform", 0.0, 1.0),
        ("log_uniform", -1.0, 1.0),
        ("log_uniform", 1.0, 1.0),
        ("log_uniform", 1.0, 0.1),
        ("integer", 3, 2),
        ("choice", []),
    ],
    ids=lambda axis: " ".join(map(str, axis)),
)
@pytest.mark.parametrize("count", [0, 3])
def test_an_axis_that_cannot_be_drawn_is_refused(impl, fw, axis, count):
    with pytest.raises(ValueError):
        impl.random_points({"fine": ("uniform", 0.0, 1.0), "wrong": axis}, count, seed=0)


@refusals
def test_negative_counts_are_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.random_points(SPACE, -1, seed=0)
    with pytest.raises(ValueError):
        impl.search(lambda point: 0.0, [{"x": 1}], -1)


# -------------------------------------------------------------------- 2 the grid


@grid
@pytest.mark.parametrize("sizes", [(3,), (2, 3), (1, 1), (2, 1, 4), (2, 3, 2, 2)])
def test_every_combination_once_the_last_axis_fastest(impl, fw, rng, sizes):
    axes = {f"axis {i}": rng.standard_normal(size).tolist() for i, size in enumerate(sizes)}
    expected = []
    for places in np.ndindex(sizes):
        expected.append({name: values[place] for (name, values), place in zip(axes.items(), places, strict=True)})
    found = list(impl.grid(axes))
    assert len(found) == len(expected), f"{len(found)} points instead of {len(expected)}"
    for number, (point, wanted) in enumerate(zip(found, expected, strict=True)):
        assert point == wanted, f"point {number} should be {wanted} and is {point}"


@grid
def test_values_come_out_as_they_went_in(impl, fw):
    values = [32, "adam", None, [64, 64], True, 1e-3]
    found = impl.grid({"anything": values, "one": (7,)})
    for point, value in zip(found, values, strict=True):
        same = point["anything"] is value
        assert same and point["one"] == 7, f"the value {value!r} comes out as {point['anything']!r}"


@grid
def test_an_empty_axis_gives_no_point_and_no_axis_gives_one(impl, fw):
    found = impl.grid({"x": [1, 2], "y": []})
    assert found == [], f"an axis without values should give no point, and gives {found}"
    assert impl.grid({}) == [{}], f"no axis should give one empty point, and gives {impl.grid({})}"


@grid
def test_points_do_not_share_a_dictionary(impl, fw):
    first, second = impl.grid({"x": [1, 2], "y": [3]})
    first["y"] = 0
    assert second == {"x": 2, "y": 3}, f"writing into the first point changes the second to {second}"


# -------------------------------------------------------------------- 3 random points


@random_points
@pytest.mark.parametrize("count", [0, 1, 7])
def test_as_many_points_as_asked_with_every_axis(impl, fw, count):
    points = impl.random_points(SPACE, count, seed=3)
    assert len(points) == count, f"{len(points)} points instead of {count}"
    for point in points:
        assert list(point) == list(SPACE), f"a point has the axes {list(point)} instead of {list(SPACE)}"
        for name, kind in {"rate": float, "decay": float, "layers": int}.items():
            assert type(point[name]) is kind, f"{name} should be Python's {kind.__name__}, and is {type(point[name])}"


@random_points
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0), (100, 101)])
def test_uniform_numbers_are_uniform(impl, fw, low, high):
    values = column(impl.random_points({"x": ("uniform", low, high)}, COUNT, seed=5), "x")
    assert low <= min(values) and max(values) <= high, f"draws from {min(values)} to {max(values)}"
    check_distribution(values, lambda x: (x - low) / (high - low), of=f"uniform from {low} to {high}")


@random_points
@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 5), (-2, 2), (7, 7)])
def test_integers_reach_both_ends_equally_often(impl, fw, low, high):
    values = column(impl.random_points({"x": ("integer", low, high)}, COUNT, seed=6), "x")
    assert set(values) == set(range(low, high + 1)), f"integers from {low} to {high} give {sorted(set(values))}"
    check_equally_likely(values, range(low, high + 1), of=f"integers from {low} to {high}")


@random_points
@pytest.mark.parametrize("options", [["sgd", None, 32, (1, 2)], ("relu", "tanh"), [[64], [64, 64], [8]], [0.5]])
def test_a_choice_takes_each_option_as_it_is(impl, fw, options):
    values = column(impl.random_points({"x": ("choice", options)}, COUNT, seed=7), "x")
    strange = [value for value in values if not any(value is option for option in options)]
    assert not strange, f"{strange[:1]!r} comes out, and went in as one of {options!r}"
    check_equally_likely(values, options, of="choice")


@random_points
def test_axes_and_neighbours_are_independent(impl, fw):
    space = dict.fromkeys("abc", ("uniform", 0.0, 1.0))
    points = impl.random_points(space, COUNT, seed=8)
    table = np.array([[point[name] for name in "abc"] for point in points])
    limit = 5 / math.sqrt(COUNT)
    for first, second in itertools.combinations(range(3), 2):
        found = abs(np.corrcoef(table[:, first], table[:, second])[0, 1])
        assert found < limit, f"two axes are correlated by {found:.2f}; chance explains {limit:.2f}"
    found = abs(np.corrcoef(table[1:, 0], table[:-1, 0])[0, 1])
    assert found < limit, f"each point is correlated with the one before by {found:.2f}; chance explains {limit:.2f}"


# -------------------------------------------------------------------- 4 logarithmic axes


@logarithmic_axes
@pytest.mark.parametrize(("low", "high"), [(1e-5, 1e-1), (0.5, 2.0), (1e-300, 1e300), (3, 4000)])
def test_every_decade_gets_as_many(impl, fw, low, high):
    values = column(impl.random_points({"x": ("log_uniform", low, high)}, COUNT, seed=9), "x")
    width = math.log(high) - math.log(low)
    assert min(values) > 0, f"a draw of {min(values)} from {low} to {high}"
    check_distribution(values, lambda x: (np.log(x) - math.log(low)) / width, of=f"log_uniform {low:g} to {high:g}")


@logarithmic_axes
@pytest.mark.parametrize("low", [0.1, 0.3, 1e-4, 7.0])
def test_rounding_leads_nowhere_outside(impl, fw, low):
    """Between two neighbouring floats: exp(log(x)) need not be x."""
    high = float(np.nextafter(low, np.inf))
    values = column(impl.random_points({"x": ("log_uniform", low, high)}, 50, seed=10), "x")
    outside = [value for value in values if not low <= value <= high]
    assert not outside, f"{outside[0]!r} lies outside of {low!r} to {high!r}"


# -------------------------------------------------------------------- 5 seeds


@seeds
@pytest.mark.parametrize("seed", [0, 11])
def test_the_same_seed_gives_the_same_points(impl, fw, seed):
    first = impl.random_points(SPACE, 20, seed)
    np.random.seed(0)
    random.seed(0)
    second = impl.random_points(SPACE, 20, seed)
    assert first == second, f"two calls with the seed {seed} give different points"


@seeds
def test_different_seeds_give_different_points(impl, fw):
    """No two of 20 seeds have a point in common, wherever it stands in the list."""
    rates = {point["rate"] for seed in range(20) for point in impl.random_points(SPACE, 5, seed)}
    assert len(rates) == 100, f"20 seeds, 5 points each, give {len(rates)} different points and not 100"


@seeds
@pytest.mark.parametrize("count", [1, 5, 8])
def test_more_points_begin_with_the_same(impl, fw, count):
    few, many = impl.random_points(SPACE, count, seed=12), impl.random_points(SPACE, 9, seed=12)
    assert many[:count] == few, f"9 points do not begin with the {count} of the same seed"


@seeds
def test_the_global_generators_are_left_alone(impl, fw):
    kept = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    impl.random_points(SPACE, 5, seed=13)
    now = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    assert now == kept, "the global generator of random or NumPy was seeded or drawn from"


# -------------------------------------------------------------------- 6 budget and table


def check_table(table, expected):
    """Rows as (trial, point, score)."""
    assert len(table) == len(expected), f"the table has {len(table)} rows instead of {len(expected)}"
    for number, (row, (trial, point, score)) in enumerate(zip(table, expected, strict=True)):
        wanted = {"trial": trial, "point": point, "score": score}
        assert row == wanted, f"row {number} should be {wanted} and is {row}"
        assert type(row["score"]) is float, f"the score in row {number} is no Python float, but {type(row['score'])}"


@budget_table
def test_rows_go_from_the_smallest_score_to_the_largest(impl, fw, rng):
    points = [{"x": x} for x in rng.permutation(9).tolist()]
    table = impl.search(lambda point: np.float32((point["x"] - 4) ** 2), points, 100)
    expected = [(trial, point, float((point["x"] - 4) ** 2)) for trial, point in enumerate(points)]
    check_table(table, sorted(expected, key=lambda row: (row[2], row[0])))
    json.dumps(table)


@budget_table
@pytest.mark.parametrize("budget", [0, 1, 4])
def test_no_more_calls_and_no_more_points_than_the_budget(impl, fw, budget):
    calls, endless = [], itertools.count()

    def objective(point):
        calls.append(point["x"])
        return -point["x"]

    table = impl.search(objective, ({"x": x} for x in endless), budget)
    assert calls == list(range(budget)), f"the objective was called at {calls} with a budget of {budget}"
    taken = next(endless)
    assert taken == budget, f"{taken} points were taken with a budget of {budget}"
    check_table(table, [(x, {"x": x}, -float(x)) for x in reversed(range(budget))])


@budget_table
def test_a_point_seen_before_costs_nothing(impl, fw):
    points = [{"x": x, "sizes": [x, x]} for x in (3, 1, 3, 3, 2, 1, 0)]
    table = impl.search(lambda point: point["x"], iter(points), 3)
    rows = ((1, 1), (2, 2), (0, 3))
    check_table(table, [(trial, {"x": x, "sizes": [x, x]}, float(x)) for trial, x in rows])


@budget_table
def test_equal_points_may_be_written_differently(impl, fw):
    """Dictionaries are equal whatever the order of their keys, and 1 == 1.0."""
    points = [{"x": 1, "y": 2}, {"y": 2, "x": 1}, {"x": 1.0, "y": 2}, {"x": 2, "y": 1}]
    table = impl.search(lambda point: point["x"], points, 9)
    check_table(table, [(0, {"x": 1, "y": 2}, 1.0), (1, {"x": 2, "y": 1}, 2.0)])


@budget_table
def test_an_empty_point_is_a_point(impl, fw):
    """It is all that a grid without axes has."""
    check_table(impl.search(lambda point: 7, impl.grid({}), 3), [(0, {}, 7.0)])


@budget_table
def test_points_that_fail_come_last_and_stop_nobody(impl, fw):
    def objective(point):
        if point["x"] in (1, 5):
            raise {1: RuntimeError, 5: MemoryError}[point["x"]]("out of memory")
        return {0: math.nan, 2: 5.0, 3: -math.inf, 4: 1.0}[point["x"]]

    table = impl.search(objective, [{"x": x} for x in (0, 1, 2, 3, 4, 5, 1, 0)], 9)
    order = [(3, -math.inf), (4, 1.0), (2, 5.0), (0, math.inf), (1, math.inf), (5, math.inf)]
    check_table(table, [(x, {"x": x}, score) for x, score in order])


@budget_table
def test_the_table_shows_points_as_they_were(impl, fw):
    def objective(point):
        point["sizes"].append(99)
        return -point.pop("x")

    points = [{"x": 1, "sizes": [8]}, {"x": 2, "sizes": [8]}, {"x": 1, "sizes": [8]}]
    table = impl.search(objective, points, 3)
    check_table(table, [(1, {"x": 2, "sizes": [8]}, -2.0), (0, {"x": 1, "sizes": [8]}, -1.0)])


@budget_table
def test_the_user_can_still_interrupt(impl, fw):
    """A KeyboardInterrupt is no Exception, and must not be taken for a failed point."""

    def objective(point):
        raise KeyboardInterrupt

    try:
        impl.search(objective, [{"x": 1}], 1)
    except KeyboardInterrupt:
        return
    raise AssertionError("the search swallows a KeyboardInterrupt")


# -------------------------------------------------------------------- 7 random against grid


def best_distances(impl, score):
    """How far from its target the best of 27 points lies on the axis a, for the grid and for random points.

    Over 200 seeds, each with a target of its own. The cube of the grid's 3 values has them in the middle of each third.
    """
    targets, found = np.random.default_rng(0).random(200), {"grid": [], "random": []}
    cells = impl.grid({name: [1 / 6, 3 / 6, 5 / 6] for name in "abc"})
    for seed, target in enumerate(targets.tolist()):
        drawn = impl.random_points(dict.fromkeys("abc", ("uniform", 0.0, 1.0)), 27, seed)
        for kind, points in (("grid", cells), ("random", drawn)):
            best = impl.search(lambda point, target=target: score(point, target), points, 27)[0]
            found[kind].append(abs(best["point"]["a"] - target))
    return {kind: float(np.mean(values)) for kind, values in found.items()}


@random_against_grid
def test_random_beats_the_grid_where_one_axis_matters(impl, fw):
    """Mean distance to the target: 1/12 for three values of the axis, near 1/56 for 27, whatever the other two do."""
    means = best_distances(impl, lambda point, target: (point["a"] - target) ** 2)
    assert abs(means["grid"] - 1 / 12) < 0.01, f"the grid's best is {means['grid']:.3f} away on average, not 1/12"
    assert means["random"] < 0.03, f"the best of 27 random points is {means['random']:.3f} away on average"
    assert means["random"] < means["grid"] / 2, (
        f"random points are {means['random']:.3f} away, the grid {means['grid']:.3f}"
    )


@random_against_grid
def test_a_rate_is_found_on_a_logarithmic_axis(impl, fw):
    """Ten draws for a rate whose best power of ten is anywhere from −5 to −1, over 200 seeds; the error in decades."""
    targets, errors = np.random.default_rng(1).uniform(-5, -1, 200).tolist(), {}
    for kind in ("log_uniform", "uniform"):
        found = []
        for seed, target in enumerate(targets):
            points = impl.random_points({"rate": (kind, 1e-5, 1e-1)}, 10, seed)
            table = impl.search(lambda point, target=target: abs(math.log10(point["rate"]) - target), points, 10)
            found.append(table[0]["score"])
        errors[kind] = float(np.mean(found))
    assert errors["log_uniform"] < 0.3, f"on a logarithmic axis the best is {errors['log_uniform']:.2f} decades away"
    assert errors["uniform"] > 0.7, f"on a linear axis the best is {errors['uniform']:.2f} decades away"
