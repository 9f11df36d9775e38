"""Grid search and random search.

Learning rate, width, decay: they are set before training, and nobody differentiates through them, so one tries points
and compares. A grid tries every combination of a few values per axis. Random points cost the same and try a new value
of every axis each time: where only one axis matters, a grid of 27 points on three axes has tried 3 values of it, and
27 random points have tried 27 (Bergstra and Bengio 2012, Random search for hyper-parameter optimization).

Levels     1 refusals · 2 the grid · 3 random points · 4 logarithmic axes · 5 seeds · 6 budget and table ·
           7 random against grid
Off limits sklearn.model_selection.ParameterGrid, sklearn.model_selection.ParameterSampler, scipy.stats.loguniform
Check      pytest -k grid_and_random_search

A point is a dictionary from names to values. Numbers in it are Python's own int and float, not NumPy's: a table of
results can then be written as JSON.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any


def grid(axes: dict[str, Sequence]) -> list[dict[str, Any]]:
    """Every combination of one value per axis, each as a point.

    Args:
        axes: from a name to its values, in order; any objects, which come out as they went in.

    Returns:
        The points, in the order of nested loops: the first axis is the outermost loop, the last changes fastest. An
        axis without values gives no point at all; no axis gives one point, which is empty.
    """
    raise NotImplementedError("grid is yours to write")


def random_points(space: dict[str, tuple], count: int, seed: int) -> list[dict[str, Any]]:
    """`count` points, each axis drawn by itself, independent of the other axes and of the other points.

    Args:
        space: from a name to a tuple, one of
            ("uniform", low, high)      a float between low and high, each equally likely
            ("log_uniform", low, high)  a float whose logarithm is uniform: as many between 0.001 and 0.01 as between
                                        0.01 and 0.1. Never outside of low and high, rounding included.
            ("integer", low, high)      an int from low to high, both included, each equally likely
            ("choice", options)         one of a sequence of any objects, each equally likely, as it went in
        count: how many points, 0 or more.
        seed: of a random generator of your own. Different seeds give unrelated points. The same seed gives the same
            points, and more of them begin with the same: random_points(space, 5, seed) is the start of
            random_points(space, 9, seed), so a search can be extended. Nothing else has influence on the points, and
            the global generators of random and NumPy are left alone.

    Raises:
        ValueError: count is negative, a kind is unknown, low is not below high (for "integer": low is above high), low
            of "log_uniform" is not positive, or there are no options. With count = 0 too.
    """
    raise NotImplementedError("random_points is yours to write")


def search(
    objective: Callable[[dict[str, Any]], float], points: Iterable[dict[str, Any]], budget: int
) -> list[dict[str, Any]]:
    """Evaluate points in order until the budget is spent, and rank them. The smallest score is the best.

    Args:
        objective: from a point to its score, a number. It may write into the point that it is given; the table does not
            show that. A point fails if the score is nan or the objective raises an Exception; others go on.
        points: may be endless; no more are taken than the budget allows.
        budget: how many times the objective may be called. A point equal to an earlier one is not evaluated again: it
            is passed over and costs nothing. After the last call no further point is taken. Values of points may be
            lists, which cannot be hashed.

    Returns:
        The table, a row for each call: {"trial": its number from 0 in the order of the calls, "point": the point,
        "score": a float, infinite where the point failed}. From best to worst; equal scores in the order of the trials.

    Raises:
        ValueError: the budget is negative.
    """
    raise NotImplementedError("search is yours to write")
