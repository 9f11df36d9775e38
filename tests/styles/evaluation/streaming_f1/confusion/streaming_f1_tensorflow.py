"""F1 from a confusion matrix that grows entry by entry: the three counts are its diagonal and its two margins."""

import keras
import tensorflow as tf

AVERAGES = (None, "micro", "macro", "weighted")


class F1Score(keras.metrics.Metric):
    def __init__(self, num_classes, average="macro"):
        if average not in AVERAGES or num_classes < 2:
            raise ValueError(f"no F1 of {num_classes} classes with the average {average}")
        super().__init__(name="f1_score")
        self.average = average
        self.matrix = self.add_weight(shape=(num_classes, num_classes), initializer="zeros", dtype="float64")

    def update_state(self, y_true, y_pred, sample_weight=None):
        classes = self.matrix.shape[0]
        weights_fit = sample_weight is None or sample_weight.shape.as_list() == y_true.shape.as_list()
        if y_true.shape.rank != 1 or y_pred.shape.as_list() != [y_true.shape[0], classes] or not weights_fit:
            raise ValueError(f"{y_true.shape}, {y_pred.shape} and the weights do not fit")
        if sample_weight is not None:
            sample_weight = tf.cast(sample_weight, tf.float64)
        counted = tf.math.confusion_matrix(
            y_true, tf.math.argmax(y_pred, axis=1), classes, weights=sample_weight, dtype=tf.float64
        )
        self.matrix.assign(self.matrix + counted)

    def result(self):
        matrix = tf.convert_to_tensor(self.matrix)
        hits = tf.linalg.diag_part(matrix)
        actual, margins = tf.reduce_sum(matrix, 1), tf.reduce_sum(matrix, 0) + tf.reduce_sum(matrix, 1)
        if self.average == "micro":
            hits, margins = tf.reduce_sum(hits), tf.reduce_sum(margins)
        scores = tf.math.divide_no_nan(2 * hits, margins)
        if self.average == "macro":
            scores = tf.math.reduce_mean(scores)
        if self.average == "weighted":
            scores = tf.tensordot(scores, tf.math.divide_no_nan(actual, tf.reduce_sum(actual)), 1)
        return tf.cast(scores, tf.float32)

    def reset_state(self):
        super().reset_state()

    def merge_state(self, metrics):
        matrices = [metric.matrix for metric in metrics]
        if any(matrix.shape != self.matrix.shape for matrix in matrices):
            raise ValueError("the metrics count other numbers of classes")
        self.matrix.assign_add(sum(matrices))
