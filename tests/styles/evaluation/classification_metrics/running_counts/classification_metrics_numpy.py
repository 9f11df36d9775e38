"""One object keeps the three counts of each class as rows of a table; a model's batches are added to it one by one."""

import math
from dataclasses import dataclass

import numpy as np

AVERAGES = (None, "micro", "macro", "weighted")


@dataclass
class Counts:
    """Rows: hits, predicted, actual; a column per class; `seen` marks the classes that occurred."""

    table: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, classes):
        return cls(np.zeros((3, classes)), np.zeros(classes, bool))

    def add(self, true, predicted, weight):
        right = true == predicted
        np.add.at(self.table[0], true[right], weight[right])
        np.add.at(self.table[1], predicted, weight)
        np.add.at(self.table[2], true, weight)
        self.seen[true] = self.seen[predicted] = True

    def score(self, over, average, otherwise):
        """Hits over a mix of predicted and actual, whose parts are given in `over`."""
        if average not in AVERAGES:
            raise ValueError(f"no such average: {average}")
        hits, predicted, actual = self.table[:, self.seen]
        bottom = over[0] * predicted + over[1] * actual
        if average == "micro":
            return divide(hits.sum(), bottom.sum(), otherwise)[()]
        scores = divide(hits, bottom, otherwise)
        if average is None:
            return scores
        share = np.where(np.isnan(scores), 0.0, actual if average == "weighted" else 1.0)
        if share.sum() == 0:
            share = np.where(np.isnan(scores), 0.0, 1.0)
        return np.nansum(scores * share) / share.sum() if share.sum() else np.float64(math.nan)


def divide(top, bottom, otherwise):
    result = np.full(np.shape(bottom), float(otherwise))
    np.divide(top, bottom, out=result, where=bottom != 0)
    return result


def weights_of(y_true, y_pred, sample_weight):
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or len(y_true) == 0:
        raise ValueError("labels must be two arrays of one axis and one length")
    if sample_weight is None:
        return np.ones(len(y_true))
    weight = np.asarray(sample_weight, "float64")
    if weight.shape != y_true.shape or (weight < 0).any() or (weight == 0).all():
        raise ValueError("weights do not fit the labels")
    return weight


def counts_of(y_true, y_pred, sample_weight):
    weight = weights_of(y_true, y_pred, sample_weight)
    classes = np.union1d(y_true, y_pred)
    counts = Counts.of(len(classes))
    counts.add(np.searchsorted(classes, y_true), np.searchsorted(classes, y_pred), weight)
    return counts


def accuracy(y_true, y_pred, sample_weight=None):
    weight = weights_of(y_true, y_pred, sample_weight)
    return weight[y_true == y_pred].sum() / weight.sum()


def precision(y_true, y_pred, average="macro", zero_division=0.0, sample_weight=None):
    return counts_of(y_true, y_pred, sample_weight).score((1, 0), average, zero_division)


def recall(y_true, y_pred, average="macro", zero_division=0.0, sample_weight=None):
    return counts_of(y_true, y_pred, sample_weight).score((0, 1), average, zero_division)


def f_beta(y_true, y_pred, beta=1.0, average="macro", zero_division=0.0, sample_weight=None):
    if beta < 0:
        raise ValueError("beta is negative")
    share = 1 / (1 + beta * beta)
    return counts_of(y_true, y_pred, sample_weight).score((share, 1 - share), average, zero_division)


def evaluate(predict, batches, average="macro", zero_division=0.0):
    if average is None:
        raise ValueError("an average is needed")
    counts = None
    right = total = 0.0
    for inputs, labels, *rest in batches:
        scores = predict(inputs)
        counts = counts or Counts.of(scores.shape[1])
        guess = np.argmax(scores, 1)
        weight = weights_of(labels, guess, *(rest or [None]))
        counts.add(labels, guess, weight)
        right, total = right + weight[labels == guess].sum(), total + weight.sum()
    if counts is None:
        raise ValueError("nothing to evaluate")
    result = {
        name: float(counts.score(over, average, zero_division))
        for name, over in {"precision": (1, 0), "recall": (0, 1), "f1": (0.5, 0.5)}.items()
    }
    return result | {"accuracy": float(right / total)}
