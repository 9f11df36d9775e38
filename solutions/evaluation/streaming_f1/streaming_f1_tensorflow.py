"""F1 over a stream of batches, in TensorFlow.

F1 is a ratio, and ratios of batches do not average to the ratio of all; what may be added up are counts. Three
weighted counts per class are enough for every average: samples hit, samples predicted, samples that are there. They
are a variable of the metric, so they live on in a traced function, and float64, because float32 cannot count past 2²⁴.
"""

from collections.abc import Iterable

import keras
import tensorflow as tf
from tensorflow import Tensor

AVERAGES = (None, "micro", "macro", "weighted")


class F1Score(keras.metrics.Metric):
    def __init__(self, num_classes: int, average: str | None = "macro"):
        super().__init__(name="f1_score")
        if num_classes < 2:
            raise ValueError(f"F1 needs two classes or more, not {num_classes}")
        if average not in AVERAGES:
            raise ValueError(f"average must be one of {AVERAGES}, not {average!r}")
        self.num_classes, self.average = num_classes, average
        self.counts = self.add_variable((3, num_classes), "zeros", dtype="float64")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        y_true.shape.assert_has_rank(1)
        y_pred.shape.assert_is_compatible_with([*y_true.shape, self.num_classes])
        if sample_weight is not None:
            sample_weight.shape.assert_is_compatible_with(y_true.shape)

        y_true, guess = tf.cast(y_true, "int64"), tf.argmax(y_pred, axis=1)
        weight = tf.cast(tf.ones_like(guess) if sample_weight is None else sample_weight, "float64")
        hit = tf.where(guess == y_true, weight, 0)
        pairs = (y_true, hit), (guess, weight), (y_true, weight)
        sums = [tf.math.unsorted_segment_sum(amount, label, self.num_classes) for label, amount in pairs]
        self.counts.assign_add(tf.stack(sums))

    def result(self) -> Tensor:
        hits, predicted, actual = tf.unstack(
            tf.reduce_sum(self.counts, axis=1) if self.average == "micro" else self.counts
        )
        f1 = tf.math.divide_no_nan(2 * hits, predicted + actual)
        if self.average == "macro":
            f1 = tf.reduce_mean(f1)
        elif self.average == "weighted":
            f1 = tf.math.divide_no_nan(tf.reduce_sum(f1 * actual), tf.reduce_sum(actual))
        return tf.cast(f1, "float32")

    def reset_state(self) -> None:
        self.counts.assign(tf.zeros_like(self.counts))

    def merge_state(self, metrics: Iterable["F1Score"]) -> None:
        metrics = list(metrics)
        for metric in metrics:
            if metric.num_classes != self.num_classes:
                raise ValueError(f"cannot merge {metric.num_classes} classes into {self.num_classes}")
        for metric in metrics:
            self.counts.assign_add(metric.counts)
