"""Eigenvalues in place of a Cholesky factor, squared distances by expansion, and the maximum sought in two rounds."""

import math

import numpy as np


def covariance(a, b, length):
    a, b = a / length, b / length
    squares = np.square(a).sum(axis=1)[:, np.newaxis] + np.square(b).sum(axis=1)[np.newaxis, :] - 2 * a @ b.T
    return np.exp(np.maximum(squares, 0) * -0.5)


def posterior(points, values, candidates, length, noise=1e-6):
    if points.shape[0] != values.shape[0] or points.shape[1] != candidates.shape[1]:
        raise ValueError("shapes do not fit")
    if not (np.min(length) > 0 and noise > 0):
        raise ValueError("length and noise must be positive")
    spectrum, basis = np.linalg.eigh(covariance(points, points, length))
    spectrum = np.maximum(spectrum, 0) + noise
    rotated = basis.T @ covariance(points, candidates, length)
    mean = (basis.T @ values / spectrum) @ rotated
    explained = np.einsum("nm,nm,n->m", rotated, rotated, 1 / spectrum)
    return mean, np.sqrt(1 - np.minimum(explained, 1))


def expected_improvement(mean, deviation, best):
    result = []
    for m, s in zip(mean.tolist(), deviation.tolist(), strict=True):
        if s == 0:
            result.append(max(best - m, 0.0))
        else:
            z = (best - m) / s
            tail = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) + z * 0.5 * math.erfc(-z * math.sqrt(0.5))
            result.append(max(s * tail, 0.0))
    return np.array(result)


class BayesianSearch:
    def __init__(self, bounds, seed, initial=5, length=0.25):
        if initial < 1 or any(low >= high for low, high in bounds):
            raise ValueError("no box, or no first point")
        self.bounds, self.seed, self.initial, self.length = list(bounds), seed, initial, length
        self.log = []

    def ask(self):
        rng = np.random.default_rng((self.seed, len(self.log), 17))
        finite = [value for _, value in self.log if math.isfinite(value)]
        if len(self.log) < self.initial or not finite:
            return self.stretch(rng.uniform(size=len(self.bounds)))
        values = np.array([value if math.isfinite(value) else max(finite) for _, value in self.log])
        values = values - values.mean()
        if values.any():
            values = values / np.std(values)
        points = np.array([unit for unit, _ in self.log])
        first = rng.uniform(size=(1000, len(self.bounds)))
        second = first[np.argsort(-self.promise(points, values, first))[:5]]
        second = np.repeat(second, 40, axis=0) + 0.03 * rng.uniform(-1, 1, size=(200, len(self.bounds)))
        both = np.vstack([first, np.clip(second, 0, 1)])
        return self.stretch(both[np.argmax(self.promise(points, values, both))])

    def promise(self, points, values, candidates):
        mean, deviation = posterior(points, values, candidates, self.length)
        return expected_improvement(mean, deviation, values.min())

    def stretch(self, unit):
        pairs = zip(unit, self.bounds, strict=True)
        return np.array([min(max(low + u * (high - low), low), high) for u, (low, high) in pairs])

    def tell(self, point, value):
        if len(point) != len(self.bounds):
            raise ValueError("another number of axes")
        unit = [(x - low) / (high - low) for x, (low, high) in zip(point, self.bounds, strict=True)]
        if min(unit) < 0 or max(unit) > 1:
            raise ValueError("outside")
        self.log.append((unit, float(value)))

    def best(self):
        finite = [(unit, value) for unit, value in self.log if math.isfinite(value)]
        if not finite:
            raise ValueError("nothing finite")
        unit, value = min(finite, key=lambda trial: trial[1])
        return self.stretch(unit), value
