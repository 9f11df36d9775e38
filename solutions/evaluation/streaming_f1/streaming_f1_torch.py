"""F1 over a stream of batches, in PyTorch.

F1 is a ratio, and ratios of batches do not average to the ratio of all; what may be added up are counts. Three
weighted counts per class are enough for every average: samples hit, samples predicted, samples that are there. They
are a buffer, so they move and are saved with the module, and float64, because float32 cannot count past 2²⁴.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

AVERAGES = (None, "micro", "macro", "weighted")


class F1Score(nn.Module):
    def __init__(self, num_classes: int, average: str | None = "macro"):
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"F1 needs two classes or more, not {num_classes}")
        if average not in AVERAGES:
            raise ValueError(f"average must be one of {AVERAGES}, not {average!r}")
        self.num_classes, self.average = num_classes, average
        self.register_buffer("counts", torch.zeros(3, num_classes, dtype=torch.float64))

    @torch.no_grad()
    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        if y_true.ndim != 1 or y_pred.shape != (len(y_true), self.num_classes):
            raise ValueError(f"labels {tuple(y_true.shape)} and scores {tuple(y_pred.shape)} do not fit")
        if sample_weight is not None and sample_weight.shape != y_true.shape:
            raise ValueError(f"labels {tuple(y_true.shape)} and weights {tuple(sample_weight.shape)} do not fit")

        guess = y_pred.argmax(dim=1)
        weight = (torch.ones_like(guess) if sample_weight is None else sample_weight).to(self.counts)
        hit = weight * (guess == y_true)
        pairs = (y_true, hit), (guess, weight), (y_true, weight)
        self.counts += torch.stack([torch.bincount(label, amount, self.num_classes) for label, amount in pairs])

    def result(self) -> Tensor:
        hits, predicted, actual = self.counts.sum(dim=1) if self.average == "micro" else self.counts
        f1 = torch.nan_to_num(2 * hits / (predicted + actual))
        if self.average == "macro":
            f1 = f1.mean()
        elif self.average == "weighted":
            f1 = torch.nan_to_num(f1 @ actual / actual.sum())
        return f1.float()

    def reset_state(self) -> None:
        self.counts.zero_()

    def merge_state(self, metrics: Iterable["F1Score"]) -> None:
        metrics = list(metrics)
        for metric in metrics:
            if metric.num_classes != self.num_classes:
                raise ValueError(f"cannot merge {metric.num_classes} classes into {self.num_classes}")
        for metric in metrics:
            self.counts += metric.counts
