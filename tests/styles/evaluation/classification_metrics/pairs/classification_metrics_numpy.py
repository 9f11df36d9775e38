"""Count each pair (true, predicted) that occurs, a confusion matrix without its zeros, and take everything from there.

F is the harmonic mean as the textbook has it, set right where precision and recall are both undefined or zero.
"""

import numpy as np

AVERAGES = (None, "micro", "macro", "weighted")


def accuracy(y_true, y_pred, sample_weight=None):
    _, true, predicted, weight = _pairs(y_true, y_pred, sample_weight)
    return np.dot(weight, true == predicted) / np.sum(weight)


def precision(y_true, y_pred, average="macro", zero_division=0.0, sample_weight=None):
    return _three(y_true, y_pred, 1.0, average, zero_division, sample_weight)[0]


def recall(y_true, y_pred, average="macro", zero_division=0.0, sample_weight=None):
    return _three(y_true, y_pred, 1.0, average, zero_division, sample_weight)[1]


def f_beta(y_true, y_pred, beta=1.0, average="macro", zero_division=0.0, sample_weight=None):
    if not beta >= 0:
        raise ValueError("beta must be zero or more")
    return _three(y_true, y_pred, beta, average, zero_division, sample_weight)[2]


def evaluate(predict, batches, average="macro", zero_division=0.0):
    columns = ([], [], [])
    for inputs, labels, *weights in batches:
        columns[0].append(labels)
        columns[1].append(np.argmax(predict(inputs), axis=1))
        columns[2].append(weights[0] if weights else np.ones(len(labels)))
    if not columns[0] or average not in AVERAGES[1:]:
        raise ValueError("evaluate needs batches, and an average that gives one number")
    y_true, y_pred, weight = (np.hstack(column) for column in columns)
    scores = _three(y_true, y_pred, 1.0, average, zero_division, weight)
    found = dict(zip(("precision", "recall", "f1"), map(float, scores), strict=True))
    found["accuracy"] = float(accuracy(y_true, y_pred, weight))
    return found


def _pairs(y_true, y_pred, sample_weight):
    """How many classes there are, and the pairs that occur: true, predicted, weight."""
    shapes = {y_true.shape, y_pred.shape} | (set() if sample_weight is None else {np.shape(sample_weight)})
    if len(shapes) > 1 or len(y_true.shape) != 1 or not y_true.size:
        raise ValueError(f"one shape (N,) is needed, not {shapes}")
    weight = np.ones(y_true.size) if sample_weight is None else np.array(sample_weight, dtype=float)
    if np.any(weight < 0) or not np.any(weight > 0):
        raise ValueError("weights must be positive, or some of them zero")
    classes = np.unique(np.hstack((y_true, y_pred)))
    codes = np.searchsorted(classes, y_true) * classes.size + np.searchsorted(classes, y_pred)
    order = np.argsort(codes, kind="stable")
    first = np.flatnonzero(np.diff(codes[order], prepend=-1))
    true, predicted = np.divmod(codes[order][first], classes.size)
    return classes.size, true, predicted, np.add.reduceat(weight[order], first)


def _three(y_true, y_pred, beta, average, zero_division, sample_weight):
    """Precision, recall and F."""
    if average not in AVERAGES:
        raise ValueError(f"unknown average {average!r}")
    size, true, predicted, weight = _pairs(y_true, y_pred, sample_weight)
    called, actual = (np.bincount(side, weight, size) for side in (predicted, true))
    hits = np.zeros(size)
    hits[true[true == predicted]] = weight[true == predicted]
    if average == "micro":
        share = hits.sum() / weight.sum()
        return share, share, share
    with np.errstate(invalid="ignore"):
        p, r = hits / called, hits / actual
        f = np.nan_to_num((1 + beta**2) * p * r / (beta**2 * p + r))
    p, r = np.where(called == 0, zero_division, p), np.where(actual == 0, zero_division, r)
    f = np.where(called + beta**2 * actual == 0, zero_division, f)
    if average is None:
        return p, r, f
    return tuple(_mean(scores, actual if average == "weighted" else np.ones(size)) for scores in (p, r, f))


def _mean(scores, weight):
    scores = np.ma.masked_invalid(scores)
    weight = np.where(scores.mask, 0, weight)
    if scores.count() == 0:
        return np.float64("nan")
    return np.float64(scores.mean() if not weight.any() else np.ma.average(scores, weights=weight))
