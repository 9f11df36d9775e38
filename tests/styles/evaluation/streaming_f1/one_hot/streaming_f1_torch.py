"""F1 by one-hot rows: true positives, false positives and false negatives, each a buffer, summed by an einsum."""

import torch
import torch.nn.functional as F
from torch import nn

AVERAGES = (None, "micro", "macro", "weighted")
COUNTS = ("true_positives", "false_positives", "false_negatives")


class F1Score(nn.Module):
    def __init__(self, num_classes, average="macro"):
        super().__init__()
        if average not in AVERAGES:
            raise ValueError(f"unknown average {average}")
        if num_classes < 2:
            raise ValueError("two classes at least")
        self.num_classes = num_classes
        self.average = average
        for name in COUNTS:
            self.register_buffer(name, torch.zeros(num_classes, dtype=torch.double))

    def update_state(self, y_true, y_pred, sample_weight=None):
        if y_pred.dim() != 2 or y_pred.size(1) != self.num_classes or y_true.shape != y_pred.shape[:1]:
            raise ValueError("labels and scores do not fit")
        if sample_weight is None:
            sample_weight = torch.ones_like(y_true)
        if sample_weight.shape != y_true.shape:
            raise ValueError("labels and weights do not fit")
        actual = F.one_hot(y_true, self.num_classes).double()
        predicted = F.one_hot(torch.argmax(y_pred, dim=1), self.num_classes).double()
        weight = sample_weight.double()
        self.true_positives += torch.einsum("b,bc,bc->c", weight, actual, predicted)
        self.false_positives += torch.einsum("b,bc,bc->c", weight, 1 - actual, predicted)
        self.false_negatives += torch.einsum("b,bc,bc->c", weight, actual, 1 - predicted)

    def result(self):
        tp, fp, fn = (getattr(self, name) for name in COUNTS)
        support = tp + fn
        if self.average == "micro":
            tp, fp, fn = tp.sum(), fp.sum(), fn.sum()
        precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
        f1 = _ratio(2 * precision * recall, precision + recall)
        if self.average == "macro":
            f1 = f1.sum() / self.num_classes
        elif self.average == "weighted":
            f1 = _ratio(torch.dot(f1, support), support.sum())
        return f1.to(torch.float)

    def reset_state(self):
        for name in COUNTS:
            getattr(self, name).fill_(0)

    def merge_state(self, metrics):
        states = [metric.state_dict() for metric in metrics]
        for state in states:
            if state["true_positives"].shape != self.true_positives.shape:
                raise ValueError("other classes")
        for name in COUNTS:
            for state in states:
                getattr(self, name).add_(state[name])


def _ratio(part, whole):
    return part / torch.where(whole == 0, torch.ones_like(whole), whole)
