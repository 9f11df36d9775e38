"""The inverse of the covariance, formed once; trials in one growing array; Latin squares of candidates."""

import numpy as np


def posterior(points, values, candidates, length, noise=1e-6):
    (count, width), scale = points.shape, np.broadcast_to(np.asarray(length, float), points.shape[1:])
    if values.shape != (count,) or candidates.shape[1:] != (width,) or (scale <= 0).any() or noise <= 0:
        raise ValueError("posterior: wrong arguments")
    everything = np.concatenate([points, candidates]) / scale
    shifts = everything[np.newaxis, :, :] - everything[:count, np.newaxis, :]
    joint = np.prod(np.exp(-0.5 * shifts * shifts), axis=2)
    precision = np.linalg.inv(joint[:, :count] + np.diag(np.full(count, float(noise))))
    gain = precision @ joint[:, count:]
    variance = 1.0 - (joint[:, count:] * gain).sum(axis=0)
    return values @ gain, np.sqrt(np.where(variance > 0, variance, 0.0))


def expected_improvement(mean, deviation, best):
    """E max(z + u, 0) is max(z, 0) plus the tail at −|z|, an integral over the gain t = r²."""
    known = deviation == 0
    z = (best - mean) / np.where(known, 1.0, deviation)
    r, step = np.linspace(0.0, 3.5, 241, retstep=True)
    tail = np.exp(-0.5 * np.add.outer(np.abs(z), r**2) ** 2) @ (2 * r**3) * (step / np.sqrt(2 * np.pi))
    return np.where(known, np.maximum(best - mean, 0.0), deviation * (np.maximum(z, 0.0) + tail))


class BayesianSearch:
    def __init__(self, bounds, seed, initial=5, length=0.25):
        self.bounds = np.asarray(bounds, dtype=np.float64)
        self.width = np.diff(self.bounds, axis=1)[:, 0]
        if np.any(self.width <= 0) or initial <= 0:
            raise ValueError("BayesianSearch: wrong arguments")
        self.trials = np.empty((0, len(self.bounds) + 1))
        self.seed, self.initial, self.length = seed, initial, length

    def ask(self):
        rng = np.random.Generator(np.random.PCG64(hash((self.seed, len(self.trials))) % 2**32))
        columns = [(rng.permutation(1200) + rng.random(1200)) / 1200 for _ in self.width]
        candidates = np.stack(columns, axis=1)
        values = self.trials[:, -1]
        failed = ~np.isfinite(values)
        if len(values) < self.initial or failed.all():
            chosen = candidates[0]
        else:
            values = np.where(failed, values[~failed].max(), values)
            spread = values.std()
            values = (values - values.mean()) / (spread if spread > 0 else 1.0)
            points = (self.trials[:, :-1] - self.bounds[:, 0]) / self.width
            mean, deviation = posterior(points, values, candidates, self.length)
            chosen = candidates[np.nanargmax(expected_improvement(mean, deviation, values.min()))]
        return np.clip(self.bounds[:, 0] + chosen * self.width, *self.bounds.T)

    def tell(self, point, value):
        row = np.append(np.asarray(point, dtype=np.float64), value)
        if row.size != len(self.bounds) + 1 or (row[:-1] != np.clip(row[:-1], *self.bounds.T)).any():
            raise ValueError("tell: the point is not in the box")
        self.trials = np.vstack([self.trials, row])

    def best(self):
        rows = self.trials[np.isfinite(self.trials[:, -1])]
        if rows.shape[0] == 0:
            raise ValueError("best: nothing to choose from")
        row = rows[np.argmin(rows[:, -1])]
        return row[:-1].copy(), row[-1].item()
