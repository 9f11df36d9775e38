"""F1 by one-hot rows, in keras.ops alone: true positives, false positives and false negatives, each a variable."""

import keras
from keras import ops

AVERAGES = (None, "micro", "macro", "weighted")


class F1Score(keras.metrics.Metric):
    def __init__(self, num_classes, average="macro"):
        super().__init__(name="f1_score", dtype="float64")
        if average not in AVERAGES:
            raise ValueError(f"unknown average {average}")
        if num_classes < 2:
            raise ValueError("two classes at least")
        self.num_classes = num_classes
        self.average = average
        self.true_positives = self._zeros("true_positives")
        self.false_positives = self._zeros("false_positives")
        self.false_negatives = self._zeros("false_negatives")

    def _zeros(self, name):
        return self.add_variable(shape=(self.num_classes,), initializer="zeros", dtype=self.dtype, name=name)

    def update_state(self, y_true, y_pred, sample_weight=None):
        if len(y_pred.shape) != 2 or y_pred.shape[1] != self.num_classes or y_true.shape != y_pred.shape[:1]:
            raise ValueError("labels and scores do not fit")
        actual = ops.one_hot(y_true, self.num_classes, dtype=self.dtype)
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), self.num_classes, dtype=self.dtype)
        weighted_actual, weighted_predicted = actual, predicted
        if sample_weight is not None:
            if sample_weight.shape != y_true.shape:
                raise ValueError("labels and weights do not fit")
            column = ops.expand_dims(ops.cast(sample_weight, self.dtype), -1)
            weighted_actual, weighted_predicted = column * actual, column * predicted
        self.true_positives.assign(self.true_positives + ops.sum(weighted_actual * predicted, axis=0))
        self.false_positives.assign(self.false_positives + ops.sum(weighted_predicted * (1 - actual), axis=0))
        self.false_negatives.assign(self.false_negatives + ops.sum(weighted_actual * (1 - predicted), axis=0))

    def result(self):
        tp, fp, fn = (ops.convert_to_tensor(count) for count in self.variables)
        support = tp + fn
        if self.average == "micro":
            tp, fp, fn = ops.sum(tp), ops.sum(fp), ops.sum(fn)
        f1 = ops.divide_no_nan(tp, tp + (fp + fn) / 2)
        if self.average == "macro":
            f1 = ops.mean(f1)
        elif self.average == "weighted":
            f1 = ops.divide_no_nan(ops.sum(f1 * support), ops.sum(support))
        return ops.cast(f1, "float32")

    def reset_state(self):
        for variable in self.variables:
            variable.assign(ops.zeros_like(variable))

    def merge_state(self, metrics):
        metrics = [*metrics]
        if {metric.num_classes for metric in metrics} - {self.num_classes}:
            raise ValueError("other classes")
        for metric in metrics:
            for mine, theirs in zip(self.variables, metric.variables, strict=True):
                mine.assign_add(theirs)
