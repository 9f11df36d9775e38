"""Classification metrics, in NumPy.

Three weighted counts per class, hits, predicted and actual, give every score: number the labels with `unique`, count
with `bincount`, divide once. The traps are the divisions by zero, which F has only where both other counts are zero,
and averages of averages: micro sums the counts first, and batches are joined before anything is divided.
"""

from collections.abc import Callable, Iterable

import numpy as np

AVERAGES = (None, "micro", "macro", "weighted")


def accuracy(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None) -> np.float64:
    weight = _checked_weight(y_true, y_pred, sample_weight)
    return np.average(y_true == y_pred, weights=weight)


def precision(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    average: str | None = "macro",
    zero_division: float = 0.0,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray | np.float64:
    hits, predicted, actual = _count(y_true, y_pred, sample_weight)
    return _score(hits, predicted, actual, average, zero_division)


def recall(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    average: str | None = "macro",
    zero_division: float = 0.0,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray | np.float64:
    hits, _, actual = _count(y_true, y_pred, sample_weight)
    return _score(hits, actual, actual, average, zero_division)


def f_beta(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    beta: float = 1.0,
    average: str | None = "macro",
    zero_division: float = 0.0,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray | np.float64:
    if beta < 0:
        raise ValueError(f"beta must not be negative, but is {beta}")
    hits, predicted, actual = _count(y_true, y_pred, sample_weight)
    return _score((1 + beta**2) * hits, predicted + beta**2 * actual, actual, average, zero_division)


def evaluate(
    predict: Callable[[np.ndarray], np.ndarray],
    batches: Iterable[tuple[np.ndarray, ...]],
    average: str = "macro",
    zero_division: float = 0.0,
) -> dict[str, float]:
    if average is None:
        raise ValueError("evaluate returns one number a metric: choose an average")
    seen = [(labels, predict(inputs).argmax(axis=-1), *weight) for inputs, labels, *weight in batches]
    if not seen:
        raise ValueError("there is no batch to evaluate")
    y_true, y_pred, *weight = map(np.concatenate, zip(*seen, strict=True))
    options = {"average": average, "zero_division": zero_division, "sample_weight": weight[0] if weight else None}
    return {
        "accuracy": float(accuracy(y_true, y_pred, options["sample_weight"])),
        "precision": float(precision(y_true, y_pred, **options)),
        "recall": float(recall(y_true, y_pred, **options)),
        "f1": float(f_beta(y_true, y_pred, **options)),
    }


def _checked_weight(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    weight = np.ones(y_true.shape) if sample_weight is None else np.float64(sample_weight)
    if not y_true.shape == y_pred.shape == weight.shape or y_true.ndim != 1:
        raise ValueError(f"shapes {y_true.shape}, {y_pred.shape} and {weight.shape} are not all (N,)")
    if not weight.any() or weight.min() < 0:
        raise ValueError("weights must not be negative, and some must not be zero")
    return weight


def _count(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Hits, predicted and actual of each class, by weight."""
    weight = _checked_weight(y_true, y_pred, sample_weight)
    classes, numbers = np.unique(np.concatenate([y_true, y_pred]), return_inverse=True)
    true, predicted = np.split(numbers, 2)
    return (
        np.bincount(true, weight * (true == predicted), len(classes)),
        np.bincount(predicted, weight, len(classes)),
        np.bincount(true, weight, len(classes)),
    )


def _score(
    numerator: np.ndarray, denominator: np.ndarray, actual: np.ndarray, average: str | None, zero_division: float
) -> np.ndarray | np.float64:
    if average not in AVERAGES:
        raise ValueError(f"average must be one of {AVERAGES}, but is {average!r}")
    if average == "micro":
        numerator, denominator = numerator.sum(keepdims=True), denominator.sum(keepdims=True)
    undefined = denominator == 0
    scores = np.where(undefined, zero_division, numerator / np.where(undefined, 1, denominator))
    if average is None:
        return scores
    defined = ~np.isnan(scores)
    weights = actual[defined] if average == "weighted" else None
    if weights is not None and not weights.any():
        weights = None
    return np.average(scores[defined], weights=weights) if defined.any() else np.float64(np.nan)
