"""Batch normalisation, in PyTorch.

A layer that brings every feature of a batch to mean 0 and variance 1, and then lets the network choose scale and shift
(Ioffe and Szegedy 2015, algorithm 1):

    y = γ (x − mean) / √(variance + ε) + β

In training the statistics come from the batch; in evaluation from averages kept along the way. It lets deep networks
train from worse starting points and with larger steps. The batch is normalised with its biased variance (divided by
n), but what this kata keeps is the unbiased variance (divided by n − 1), as torch.nn.BatchNorm1d does. Keras 3 keeps
the biased one in keras.layers.BatchNormalization: know which one you speak of.

Levels     1 shapes and refusals · 2 values in training · 3 running statistics · 4 evaluation · 5 gradients
           6 numerical edges · 7 no loops · 8 learns
Off limits torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.functional.batch_norm and what lies under them;
           torch.autograd.grad and backward()
Check      pytest -k batch_norm
"""

from torch import Tensor, nn


def normalize(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each feature by the mean and the variance of its batch. No argument is written to.

    Args:
        x: (N, C), or images (N, C, H, W). There are C features; each has a mean and a variance, over all other axes.
            float16, float32 or float64. float16 is computed in float32, since it cannot hold large squares.
        gamma: (C,), the scale, in the dtype of the computation: float32 for float16 and float32, else float64.
        beta: (C,), the shift, in the same dtype.
        eps: added to the variance, under the root.

    Returns:
        y, in the shape and dtype of x; the mean (C,) and the biased variance (C,), in the dtype of the computation.

    Raises:
        ValueError: x holds fewer than two values per feature. One value has variance 0, and y would be beta.
    """
    raise NotImplementedError("normalize is yours to write")


def normalize_backward(grad: Tensor, x: Tensor, gamma: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    """The backward pass of `normalize`, by hand: no automatic differentiation.

    Mean and variance depend on x too; the gradient flows through them. No argument is written to.

    Args:
        grad: the gradient of the loss with respect to y, in the shape of x.
        x, gamma, eps: what `normalize` was given; float32 or float64.

    Returns:
        The gradients with respect to x, gamma (C,) and beta (C,), in the dtype of x.
    """
    raise NotImplementedError("normalize_backward is yours to write")


def update_running(running: Tensor, batch: Tensor, momentum: float, convention: str) -> Tensor:
    """A running statistic after one more batch. The two frameworks mean opposite things by momentum.

    Args:
        running: (C,), the statistic so far. It is not written to.
        batch: (C,), the statistic of the new batch.
        momentum: between 0 and 1.
        convention: "torch": momentum is the share of the new batch (torch.nn.BatchNorm1d has 0.1 by default).
            "keras": momentum is the share that stays (keras.layers.BatchNormalization has 0.99 by default).

    Returns:
        (C,), the new running statistic.

    Raises:
        ValueError: another convention.
    """
    raise NotImplementedError("update_running is yours to write")


class BatchNorm1d(nn.Module):
    """Batch normalisation of (N, C), with state, all of it (C,) and float32:

    gamma         starts at 1, an nn.Parameter
    beta          starts at 0, an nn.Parameter
    running_mean  starts at 0, a buffer: saved with the layer, not trained
    running_var   starts at 1, a buffer: saved with the layer, not trained
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        """Make the state.

        Args:
            num_features: C.
            eps: added to the variance, under the root.
            momentum: of the running statistics, in torch's convention in every framework of this kata.
        """
        raise NotImplementedError("BatchNorm1d.__init__ is yours to write")

    def forward(self, x: Tensor) -> Tensor:
        """Training: normalise by the batch, and move the running mean and the running unbiased variance towards it.
        Evaluation: normalise by the running statistics, and leave them alone; a batch of one is welcome.
        self.training says which of the two. The running statistics take no part in automatic differentiation.

        Args:
            x: (N, C), float32; not written to.

        Returns:
            y, in the shape of x, float32.

        Raises:
            ValueError: x has other than two axes or other than C features; or, in training, fewer than two values
                per feature.
        """
        raise NotImplementedError("BatchNorm1d.forward is yours to write")


class BatchNorm2d(BatchNorm1d):
    """The same for images (N, C, H, W): a channel is a feature, over all images, rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        """As BatchNorm1d.forward, for x of four axes. In training one image will do, if it has two pixels or more."""
        raise NotImplementedError("BatchNorm2d.forward is yours to write")
