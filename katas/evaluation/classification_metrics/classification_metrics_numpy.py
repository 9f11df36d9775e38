"""Classification metrics, in NumPy.

Accuracy hides a class that is never found. Precision asks how many of those called k are k, recall how many of the k
were called k, and F-beta weighs the two (van Rijsbergen 1979, Information Retrieval, chapter 7). For one class:

    P = hits / predicted        R = hits / actual
    F = (1 + β²) P R / (β² P + R) = (1 + β²) hits / (predicted + β² actual)

where `hits` counts the samples of the class that were predicted as such, `predicted` those predicted as the class and
`actual` those that are of the class; a sample of weight w counts w. All results equal scikit-learn's.

Levels     1 shapes and refusals · 2 one class at a time · 3 averages · 4 nothing to divide by · 5 sample weights ·
           6 any labels, no loops · 7 a model in batches
Off limits sklearn.metrics
Check      pytest -k classification_metrics

In all functions:
    y_true, y_pred   (N,), N ≥ 1: the true and the predicted labels, both integers or both strings. Any values will do.
                     The classes are the labels that occur in either, in sorted order; C is their number.
    sample_weight    (N,), of any real dtype, not negative. None: each sample weighs 1.
    average          None: a score for each class. "micro": the one score of the counts summed over the classes.
                     "macro": the mean of the classes' scores. "weighted": their mean weighted by `actual`.
    zero_division    the score where the denominator is 0, without a warning: any number, usually 0 or 1. If it is nan,
                     such a class is left out of "macro" and "weighted"; these are nan if no class is left. If those
                     that are left weigh nothing (they occur among the predictions only), "weighted" is their plain
                     mean.
    the result       float64: an array (C,) where average is None, otherwise a number. No argument is written to.

Memory grows with N + C, not with their product and not with C².
"""

from collections.abc import Callable, Iterable

import numpy as np

AVERAGES = (None, "micro", "macro", "weighted")


def accuracy(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None) -> np.float64:
    """The share of the samples, by weight, whose prediction is right.

    Raises:
        ValueError: the arrays are not all of shape (N,) with the same N ≥ 1, a weight is negative, or all are zero.
    """
    raise NotImplementedError("accuracy is yours to write")


def precision(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    average: str | None = "macro",
    zero_division: float = 0.0,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray | np.float64:
    """How much of what was called a class is of it.

    Raises:
        ValueError: as accuracy, or the average is not in AVERAGES.
    """
    raise NotImplementedError("precision is yours to write")


def recall(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    average: str | None = "macro",
    zero_division: float = 0.0,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray | np.float64:
    """How much of a class was found.

    Raises:
        ValueError: as accuracy, or the average is not in AVERAGES.
    """
    raise NotImplementedError("recall is yours to write")


def f_beta(
    y_true: np.ndarray,
    y_pred: np.ndarray,
    beta: float = 1.0,
    average: str | None = "macro",
    zero_division: float = 0.0,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray | np.float64:
    """Precision and recall in one number; recall counts beta times as much.

    Its denominator is predicted + β² actual: a class that occurs but was never hit scores 0, not zero_division. With
    beta = 0 it is the precision. Averages are those of the classes' F, not the F of averages.

    Raises:
        ValueError: as accuracy, the average is not in AVERAGES, or beta is negative.
    """
    raise NotImplementedError("f_beta is yours to write")


def evaluate(
    predict: Callable[[np.ndarray], np.ndarray],
    batches: Iterable[tuple[np.ndarray, ...]],
    average: str = "macro",
    zero_division: float = 0.0,
) -> dict[str, float]:
    """Score a model on a data set that comes in batches: the scores of all samples at once, however they are cut.

    Args:
        predict: from the inputs of a batch to a score for each class, (B, K), logits or probabilities. The prediction
            is the index of the highest. It is called once for each batch, in order.
        batches: pairs (inputs, labels) or triples (inputs, labels, sample weights), all of one kind; labels (B,) are
            integers from 0 to K − 1. Batches may differ in length, and come from a generator that can be read once.
        average, zero_division: as above; the average is not None.

    Returns:
        Python floats under "accuracy", "precision", "recall" and "f1".

    Raises:
        ValueError: there is no batch at all, or the average is not "micro", "macro" or "weighted".
    """
    raise NotImplementedError("evaluate is yours to write")
