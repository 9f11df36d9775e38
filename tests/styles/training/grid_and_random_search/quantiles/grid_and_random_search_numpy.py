"""A table of uniform numbers, a row per point and a column per axis, sent through each axis's quantile function."""

import copy
import math

import numpy as np


def grid(axes):
    places = np.indices([len(values) for values in axes.values()]).reshape(len(axes), -1).T if axes else [[]]
    return [{name: values[place] for (name, values), place in zip(axes.items(), row, strict=True)} for row in places]


def random_points(space, count, seed):
    quantiles = [quantile(*axis) for axis in space.values()]
    if count < 0:
        raise ValueError("count < 0")
    table = np.random.RandomState(seed).random_sample((count, len(space)))
    return [
        {name: axis(share) for name, axis, share in zip(space, quantiles, row, strict=True)} for row in table.tolist()
    ]


def quantile(kind, *bounds):
    """From a share between 0 and 1 to the value below which that share of the draws lies."""
    if kind == "choice":
        options = bounds[0]
        if len(options) == 0:
            raise ValueError("no options")
        return lambda share: options[int(share * len(options))]
    low, high = bounds
    if kind == "integer" and high >= low:
        return lambda share: low + math.floor(share * (high - low + 1))
    if kind == "uniform" and high > low:
        return lambda share: float(low + share * (high - low))
    if kind == "log_uniform" and high > low > 0:
        return lambda share: float(np.clip(low ** (1 - share) * high**share, low, high))
    raise ValueError(f"{kind} from {bounds}")


def search(objective, points, budget):
    if budget < 0:
        raise ValueError("budget < 0")
    trials, scores = [], []
    for point in fresh(points, budget):
        trials.append(copy.deepcopy(point))
        scores.append(attempt(objective, point))
    order = np.argsort(np.array(scores, "float64"), kind="stable").tolist()
    return [{"trial": i, "point": trials[i], "score": scores[i]} for i in order]


def fresh(points, budget):
    """The first `budget` different points."""
    given = []
    iterator = iter(points)
    while len(given) < budget:
        point = next(iterator, None)
        if point is None:
            return
        if point not in given:
            given.append(copy.deepcopy(point))
            yield point


def attempt(objective, point):
    try:
        score = float(objective(point))
    except Exception as error:
        print(f"a point failed: {error}")
        return math.inf
    return math.inf if math.isnan(score) else score
