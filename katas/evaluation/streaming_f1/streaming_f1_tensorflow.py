"""F1 over a stream of batches, in TensorFlow.

A test set that does not fit into memory comes in batches, and its F1 is wanted at the end: exactly the value that
all its samples at once would give. For one class (van Rijsbergen 1979, Information Retrieval, chapter 7)

    F1 = 2 P R / (P + R) = 2 hits / (predicted + actual)

where `hits` counts the samples of the class that were predicted as such, `predicted` those predicted as the class
and `actual` those that are of the class; a sample of weight w counts w. A class with neither scores 0, not nan.

Levels     1 shapes and refusals · 2 one batch · 3 any batching · 4 sample weights · 5 reset and merge ·
           6 long streams, odd numbers · 7 no loops, no growth · 8 at home in the framework
Off limits keras.metrics.F1Score, FBetaScore, Precision and Recall; sklearn.metrics.f1_score, fbeta_score and
           precision_recall_fscore_support
Check      pytest -k streaming_f1
"""

from collections.abc import Iterable

import keras
from tensorflow import Tensor

AVERAGES = (None, "micro", "macro", "weighted")


class F1Score(keras.metrics.Metric):
    """Counts batch by batch; the F1 of everything seen since the last reset.

    `update_state` for each batch, `result` at any time, `reset_state` before the next epoch, `merge_state` to join what
    several workers counted. Its name is "f1_score". The counts are variables of the metric, made by `add_variable`, so
    that it works in `Model.evaluate`, where `update_state` is traced and a batch's size is not known. They are float64,
    and so are the sums of a batch's weights, because float32 plus one is the same number from 2²⁴ on. Their size does
    not grow with the number of samples, and no batch is kept.
    """

    def __init__(self, num_classes: int, average: str | None = "macro"):
        """Begin with nothing counted: every score is 0.

        Args:
            num_classes: how many classes there are, two or more.
            average: None: a score for each class. "micro": the one F1 of the counts summed over the classes.
                "macro": the mean of the classes' scores, those that never occur included. "weighted": their mean
                weighted by how much of each class there is.

        Raises:
            ValueError: fewer than two classes, or an average that is not in AVERAGES.
        """
        raise NotImplementedError("F1Score.__init__ is yours to write")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Count one batch of B samples; B may be 0, and may differ from batch to batch.

        Args:
            y_true: (B,), int64, the classes, each from 0 to num_classes − 1.
            y_pred: (B, num_classes), floating point: a score per class, logits or probabilities. The prediction is
                the class of the highest score, compared in the dtype that the scores have.
            sample_weight: (B,), of any real dtype or boolean, not negative. None: each sample weighs 1.

        Raises:
            ValueError: the shapes are not these.
        """
        raise NotImplementedError("F1Score.update_state is yours to write")

    def result(self) -> Tensor:
        """The F1 of all that was counted. Counting may go on after it.

        Returns:
            float32, of shape (num_classes,) if the average is None and () otherwise. It depends on the ratios of the
            weights only, however small they are, and a small score is as exact as a large one.
        """
        raise NotImplementedError("F1Score.result is yours to write")

    def reset_state(self) -> None:
        """Forget everything that was counted."""
        raise NotImplementedError("F1Score.reset_state is yours to write")

    def merge_state(self, metrics: Iterable["F1Score"]) -> None:
        """Add what other metrics have counted, as if this one had seen their batches too. They do not change.

        Raises:
            ValueError: one of them has another number of classes; then nothing is added at all.
        """
        raise NotImplementedError("F1Score.merge_state is yours to write")
