"""Bayesian optimisation with a Gaussian process.

The covariance is nearly singular as soon as two points lie close, so it is never inverted: its Cholesky factor solves
twice, and a variance that rounding makes negative is cut at zero. In the far tail Φ comes from erfc, because 1 + erf
would leave nothing but rounding. Points are scaled to the unit cube and values standardised, or the length and the
prior would have to know the units. Each ask draws from a generator of its own, so a search can be told again and go on.
"""

import math
from collections.abc import Sequence

import numpy as np

CANDIDATES = 1000
_erfc = np.vectorize(math.erfc)


def posterior(
    points: np.ndarray, values: np.ndarray, candidates: np.ndarray, length: float | np.ndarray, noise: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    if len(points) != len(values):
        raise ValueError(f"{len(points)} points, but {len(values)} values")
    if points.shape[1] != candidates.shape[1]:
        raise ValueError(f"points have {points.shape[1]} coordinates, candidates {candidates.shape[1]}")
    if np.any(np.asarray(length) <= 0) or noise <= 0:
        raise ValueError(f"length and noise must be positive, and are {length} and {noise}")

    factor = np.linalg.cholesky(_kernel(points, points, length) + noise * np.eye(len(points)))
    cross = np.linalg.solve(factor, _kernel(points, candidates, length))
    variance = 1 - np.sum(cross**2, axis=0)
    return cross.T @ np.linalg.solve(factor, values), np.sqrt(np.maximum(variance, 0))


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    gain = best - mean
    z = gain / np.where(deviation > 0, deviation, 1)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    share = _erfc(-z / math.sqrt(2)) / 2
    return np.maximum(np.where(deviation > 0, gain * share + deviation * density, gain), 0)


class BayesianSearch:
    def __init__(self, bounds: Sequence[tuple[float, float]], seed: int, initial: int = 5, length: float = 0.25):
        self._low, self._high = np.array(bounds, float).T
        if not np.all(self._low < self._high) or initial < 1:
            raise ValueError(f"cannot search in {bounds} after {initial} random points")
        self._seed, self._initial, self._length = seed, initial, length
        self._points, self._values = [], []

    def ask(self) -> np.ndarray:
        rng = np.random.default_rng([self._seed, len(self._points)])
        candidates = rng.random((CANDIDATES, len(self._low)))
        if len(self._points) < self._initial or not np.isfinite(self._values).any():
            return self._scaled(candidates[0])
        points = (np.array(self._points) - self._low) / (self._high - self._low)
        values = self._standardised()
        near = points[values.argmin()] + 0.02 * rng.standard_normal((CANDIDATES // 10, len(self._low)))
        candidates = np.concatenate([candidates, near.clip(0, 1)])
        improvement = expected_improvement(*posterior(points, values, candidates, self._length), values.min())
        return self._scaled(candidates[improvement.argmax()])

    def tell(self, point: Sequence[float], value: float) -> None:
        point = np.array(point, float)
        if point.shape != self._low.shape or not np.all((point >= self._low) & (point <= self._high)):
            raise ValueError(f"{point} is no point between {self._low} and {self._high}")
        self._points.append(point)
        self._values.append(float(value))

    def best(self) -> tuple[np.ndarray, float]:
        if not np.isfinite(self._values).any():
            raise ValueError("no point has a finite value yet")
        place = np.where(np.isfinite(self._values), self._values, np.inf).argmin()
        return self._points[place].copy(), self._values[place]

    def _scaled(self, unit: np.ndarray) -> np.ndarray:
        return (self._low + unit * (self._high - self._low)).clip(self._low, self._high)

    def _standardised(self) -> np.ndarray:
        """The values with mean zero and deviation one; those that are not finite as bad as the worst."""
        finite = np.isfinite(self._values)
        values = np.where(finite, self._values, np.max(self._values, where=finite, initial=-np.inf))
        return (values - values.mean()) / (values.std() or 1)


def _kernel(a: np.ndarray, b: np.ndarray, length: float | np.ndarray) -> np.ndarray:
    return np.exp(-np.sum(((a[:, None] - b) / length) ** 2, axis=-1) / 2)
