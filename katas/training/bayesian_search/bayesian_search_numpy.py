"""Bayesian optimisation, in NumPy.

When one trial trains a network for hours, the next point is worth thinking about. Bayesian optimisation fits a Gaussian
process to the trials so far, which says at every point what value to expect and how sure that is, and tries the point
where the expected improvement over the best trial is largest (Jones, Schonlau and Welch 1998; Snoek, Larochelle and
Adams 2012; the process itself: Rasmussen and Williams, Gaussian processes for machine learning, algorithm 2.1). You
write the posterior, the expected improvement and the loop, which then beats random search at the same budget.

Levels     1 refusals · 2 the posterior · 3 expected improvement · 4 rounding · 5 no loops · 6 ask and tell ·
           7 against random search
Off limits sklearn.gaussian_process.GaussianProcessRegressor
Check      pytest -k bayesian_search

All arrays are float64. The smallest value is the best.
"""

from collections.abc import Sequence

import numpy as np


def posterior(
    points: np.ndarray, values: np.ndarray, candidates: np.ndarray, length: float | np.ndarray, noise: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    """What a Gaussian process expects at the candidates, given the values at the points.

    Before any value the function has mean 0 and covariance k(a, b) = exp(−½ Σ_d ((a_d − b_d) / length_d)²). Each value
    is the function plus an independent normal error of variance `noise`. With K the covariance of the points and k
    that of points and candidate:

        mean = kᵀ (K + noise I)⁻¹ values            variance = 1 − kᵀ (K + noise I)⁻¹ k

    Args:
        points: (N, D); N may be zero: then the prior comes back, mean 0 and deviation 1.
        values: (N,).
        candidates: (M, D).
        length: how far one has to go for the function to change; one number, or one for each of the D axes.
        noise: positive.

    Returns:
        Mean and standard deviation of the function (without the error), each (M,). The deviation is finite and never
        negative, also where points lie so close that rounding spoils the difference. The number of lines that run
        depends on no size.

    Raises:
        ValueError: points and values differ in number, points and candidates in width, or length or noise is not
            positive.
    """
    raise NotImplementedError("posterior is yours to write")


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """By how much a candidate is expected to be below `best`, where it counts as zero if it is above.

    With z = (best − mean) / deviation, Φ the distribution function and φ the density of a standard normal number:

        E[max(best − f, 0)] = (best − mean) Φ(z) + deviation φ(z)

    Where the deviation is 0 this is max(best − mean, 0), without a warning of NumPy. The result is never negative, and
    still right to a relative 1e-3 where z is −8 (about 8e-17 of the deviation).

    Args:
        mean, deviation: (M,), the deviation not negative.
        best: the lowest value so far.

    Returns:
        (M,).
    """
    raise NotImplementedError("expected_improvement is yours to write")


class BayesianSearch:
    """A search that is asked for points and told their values."""

    def __init__(self, bounds: Sequence[tuple[float, float]], seed: int, initial: int = 5, length: float = 0.25):
        """A search in a box.

        Args:
            bounds: (low, high) of each axis.
            seed: of the search's own random numbers; the global ones of random and NumPy are left alone.
            initial: until so many points have been told, ask draws uniformly from the box.
            length: the length of the Gaussian process, in parts of the box: 0.25 is a quarter of each axis.

        Raises:
            ValueError: low is not below high, or initial is less than one.
        """
        raise NotImplementedError("BayesianSearch is yours to write")

    def ask(self) -> np.ndarray:
        """The next point to try: (D,), within the bounds.

        It depends on the arguments of the constructor and on what was told, in its order, and on nothing else: asked
        twice, it is the same, and a search that is told the same again goes on in the same way.

        Once `initial` points have been told, it is a candidate of large expected improvement, found among at least
        1000 points of the box; a finer search for the maximum is welcome. For the model, the box is scaled to the unit
        cube, and the values are standardised: less their mean, divided by their standard deviation, if that is not
        zero (if it is, NumPy must not warn). A value that is nan or infinite stands for a trial that failed; the model
        takes it for as bad as the worst finite one. As long as no value is finite, ask draws uniformly.
        """
        raise NotImplementedError("ask is yours to write")

    def tell(self, point: Sequence[float], value: float) -> None:
        """Record a trial; the point need not be one that was asked for. What happens to `point` later has no effect.

        Raises:
            ValueError: the point has not D coordinates or lies outside of the bounds.
        """
        raise NotImplementedError("tell is yours to write")

    def best(self) -> tuple[np.ndarray, float]:
        """The point with the lowest finite value, and that value as a Python float; of equals the one told first.

        Raises:
            ValueError: no finite value has been told.
        """
        raise NotImplementedError("best is yours to write")
