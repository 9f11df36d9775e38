"""Focal loss, in PyTorch.

Where almost every example is easy, a thousand small losses drown the few that matter. Focal loss (Lin et al. 2017)
turns the cross-entropy down where the net is right already. With p the probability of the true class:

    loss = -alpha · (1 - p)^gamma · log p

gamma 0 is the plain cross-entropy; alpha is a weight per class. All comes from logits, and stays finite at any logit.
No function writes to its arguments.

Levels     1 shapes · 2 cross-entropy · 3 focus · 4 class weights · 5 gradients · 6 edges · 7 no loops · 8 a rare digit
Off limits torchvision.ops.sigmoid_focal_loss
Check      pytest -k focal_loss
"""

from torch import Tensor


def binary_focal_loss(logits: Tensor, targets: Tensor, alpha: float | None = None, gamma: float = 2.0) -> Tensor:
    """The loss of each entry by itself: p = sigmoid(logit) where the target is 1, and 1 - sigmoid(logit) where it is 0.

    Args:
        logits: (...), floating point; finite, but of any size.
        targets: (...), 0 or 1, in the dtype of the logits.
        alpha: the weight of target 1, from 0 to 1; target 0 weighs 1 - alpha. None: no weights.
        gamma: how strongly easy entries are turned down, 0 or more; it need not be whole.

    Returns:
        (...), in the dtype of the logits; not averaged.

    Raises:
        ValueError: the shapes differ, gamma is negative, or alpha lies outside of 0 to 1.
    """
    raise NotImplementedError("binary_focal_loss is yours to write")


def binary_focal_gradient(logits: Tensor, targets: Tensor, alpha: float | None = None, gamma: float = 2.0) -> Tensor:
    """The derivative of each entry's `binary_focal_loss` in its own logit, as a formula (appendix B of the paper).

    Args:
        logits, targets, alpha, gamma: as in `binary_focal_loss`.

    Returns:
        (...), in the dtype of the logits; finite at any logit.

    Raises:
        ValueError: as in `binary_focal_loss`.
    """
    raise NotImplementedError("binary_focal_gradient is yours to write")


def focal_loss(logits: Tensor, labels: Tensor, alpha: Tensor | None = None, gamma: float = 2.0) -> Tensor:
    """The loss of each row by itself: p is the softmax probability of the row's label.

    Args:
        logits: (N, C), floating point; finite, but of any size. N may be 0.
        labels: (N,), integer, the class of each row.
        alpha: (C,), the weight of each class, 0 or more, in the dtype of the logits. None: no weights.
        gamma: how strongly easy rows are turned down, 0 or more; it need not be whole.

    Returns:
        (N,), in the dtype of the logits; not averaged.

    Raises:
        ValueError: there are fewer than two classes, labels have another length than logits, alpha has not one weight
            per class, or gamma is negative.
    """
    raise NotImplementedError("focal_loss is yours to write")
