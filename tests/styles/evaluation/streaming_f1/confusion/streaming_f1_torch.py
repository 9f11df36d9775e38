"""F1 from a confusion matrix that grows entry by entry: the three counts are its diagonal and its two margins."""

import torch
from torch import nn

AVERAGES = (None, "micro", "macro", "weighted")


class F1Score(nn.Module):
    def __init__(self, num_classes, average="macro"):
        super().__init__()
        if average not in AVERAGES or num_classes < 2:
            raise ValueError(f"no F1 of {num_classes} classes with the average {average}")
        self.average = average
        self.register_buffer("matrix", torch.zeros(num_classes, num_classes, dtype=torch.float64))

    @property
    def num_classes(self):
        return len(self.matrix)

    @torch.no_grad()
    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is None:
            sample_weight = y_true.new_ones(y_true.shape)
        samples = y_pred.shape[:1]
        if y_pred.shape != (*samples, self.num_classes) or {y_true.shape, sample_weight.shape} != {samples}:
            raise ValueError(f"{y_true.shape}, {y_pred.shape} and {sample_weight.shape} do not fit")
        _, predicted = y_pred.max(dim=1)
        place = self.num_classes * y_true + predicted
        self.matrix.view(-1).scatter_add_(0, place, sample_weight.to(self.matrix))

    def result(self):
        hits, margins = self.matrix.diagonal(), self.matrix.sum(0) + self.matrix.sum(1)
        if self.average == "micro":
            hits, margins = hits.sum(), margins.sum()
        scores = torch.where(margins > 0, 2 * hits / margins, 0.0)
        if self.average in (None, "micro"):
            return scores.to(torch.float32)
        support = self.matrix.sum(1) if self.average == "weighted" else torch.ones_like(hits)
        mean = (scores * support).sum() / support.sum()
        return torch.where(support.any(), mean, 0.0).to(torch.float32)

    def reset_state(self):
        self.matrix = torch.zeros_like(self.matrix)

    def merge_state(self, metrics):
        matrices = [metric.matrix for metric in metrics]
        if any(matrix.shape != self.matrix.shape for matrix in matrices):
            raise ValueError("the metrics count other numbers of classes")
        self.matrix = self.matrix + sum(matrices)
