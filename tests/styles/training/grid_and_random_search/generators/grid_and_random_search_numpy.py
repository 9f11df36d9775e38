"""Plain Python: the standard library's generator, recursion for the grid, and a heap for the table."""

import bisect
import copy
import itertools
import math
import random


def grid(axes):
    def combined(names):
        if not names:
            yield {}
            return
        *outer, last = names
        for point in combined(outer):
            yield from ({**point, last: value} for value in axes[last])

    return list(combined(list(axes)))


def random_points(space, count, seed):
    if count < 0:
        raise ValueError("a count cannot be negative")
    axes = {name: axis_of(*axis) for name, axis in space.items()}
    generator = random.Random(seed)
    return list(itertools.islice(endless(axes, generator), count))


def endless(axes, generator):
    while True:
        yield {name: draw(generator) for name, draw in axes.items()}


def axis_of(kind, *bounds):
    """A function that draws from a generator."""
    if kind == "choice" and bounds[0]:
        return lambda generator: generator.choice(bounds[0])
    if kind == "integer" and bounds[0] <= bounds[1]:
        return lambda generator: generator.randint(*bounds)
    if kind == "uniform" and bounds[0] < bounds[1]:
        return lambda generator: float(generator.uniform(*bounds))
    if kind == "log_uniform" and 0 < bounds[0] < bounds[1]:
        low, high = map(float, bounds)
        exponents = math.log10(low), math.log10(high)
        return lambda generator: sorted((low, 10 ** generator.uniform(*exponents), high))[1]
    raise ValueError(f"no axis: {kind} {bounds}")


def search(objective, points, budget):
    if budget < 0:
        raise ValueError("a budget cannot be negative")
    table, tried = [], []
    iterator = iter(points)
    while len(tried) < budget:
        try:
            point = next(iterator)
        except StopIteration:
            break
        if point in tried:
            continue
        tried.append(copy.deepcopy(point))
        try:
            score = float(objective(point))
        except Exception:
            score = math.nan
        row = {"trial": len(tried) - 1, "point": tried[-1], "score": math.inf if score != score else score}
        bisect.insort(table, row, key=lambda row: row["score"])
    return table
