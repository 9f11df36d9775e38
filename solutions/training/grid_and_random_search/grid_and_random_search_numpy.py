"""Grid search and random search.

A grid is a Cartesian product. Random points are drawn point by point from one generator: drawn axis by axis, a longer
list would not begin with the shorter one, and a generator per axis with the same seed would tie the axes together. A
learning rate is drawn as the exponential of a uniform number.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np


def grid(axes: dict[str, Sequence]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def random_points(space: dict[str, tuple], count: int, seed: int) -> list[dict[str, Any]]:
    if count < 0:
        raise ValueError(f"count must not be negative, but is {count}")
    for name, axis in space.items():
        _refuse_impossible(name, *axis)
    rng = np.random.default_rng(seed)
    return [{name: _draw(rng, *axis) for name, axis in space.items()} for _ in range(count)]


def search(
    objective: Callable[[dict[str, Any]], float], points: Iterable[dict[str, Any]], budget: int
) -> list[dict[str, Any]]:
    if budget < 0:
        raise ValueError(f"the budget must not be negative, but is {budget}")
    table, points = [], iter(points)
    while len(table) < budget and (point := next(points, None)) is not None:
        if all(row["point"] != point for row in table):
            score = _score(objective, copy.deepcopy(point))
            table.append({"trial": len(table), "point": point, "score": score})
    return sorted(table, key=lambda row: row["score"])


def _refuse_impossible(name: str, kind: str, *bounds: Any) -> None:
    possible = {
        "uniform": lambda low, high: low < high,
        "log_uniform": lambda low, high: 0 < low < high,
        "integer": lambda low, high: low <= high,
        "choice": lambda options: len(options) > 0,
    }
    if kind not in possible or not possible[kind](*bounds):
        raise ValueError(f"nothing can be drawn for {name} from {(kind, *bounds)}")


def _draw(rng: np.random.Generator, kind: str, *bounds: Any) -> Any:
    if kind == "choice":
        (options,) = bounds
        return options[rng.integers(len(options))]
    low, high = bounds
    if kind == "integer":
        return int(rng.integers(low, high, endpoint=True))
    if kind == "log_uniform":
        exact = math.exp(rng.uniform(math.log(low), math.log(high)))
        return float(min(max(exact, low), high))
    return rng.uniform(low, high)


def _score(objective: Callable[[dict[str, Any]], float], point: dict[str, Any]) -> float:
    try:
        score = float(objective(point))
    except Exception:
        return math.inf
    return math.inf if math.isnan(score) else score
