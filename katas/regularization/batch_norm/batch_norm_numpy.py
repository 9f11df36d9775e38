"""Batch normalisation, in NumPy.

A layer that brings every feature of a batch to mean 0 and variance 1, and then lets the network choose scale and shift
(Ioffe and Szegedy 2015, algorithm 1):

    y = γ (x − mean) / √(variance + ε) + β

In training the statistics come from the batch; in evaluation from averages kept along the way. It lets deep networks
train from worse starting points and with larger steps. The batch is normalised with its biased variance (divided by
n), but what this kata keeps is the unbiased variance (divided by n − 1), as torch.nn.BatchNorm1d does. Keras 3 keeps
the biased one in keras.layers.BatchNormalization: know which one you speak of.

Levels     1 shapes and refusals · 2 values in training · 3 running statistics · 4 evaluation · 5 gradients
           6 numerical edges · 7 no loops · 8 learns
Check      pytest -k batch_norm
"""

import numpy as np


def normalize(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normalise each feature by the mean and the variance of its batch. No argument is written to.

    Args:
        x: (N, C), or images (N, H, W, C). There are C features; each has a mean and a variance, over all other axes.
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


def normalize_backward(
    grad: np.ndarray, x: np.ndarray, gamma: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The backward pass of `normalize`, by hand: no automatic differentiation.

    Mean and variance depend on x too; the gradient flows through them. No argument is written to.

    Args:
        grad: the gradient of the loss with respect to y, in the shape of x.
        x, gamma, eps: what `normalize` was given; float32 or float64.

    Returns:
        The gradients with respect to x, gamma (C,) and beta (C,), in the dtype of x.
    """
    raise NotImplementedError("normalize_backward is yours to write")


def update_running(running: np.ndarray, batch: np.ndarray, momentum: float, convention: str) -> np.ndarray:
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


class BatchNorm1d:
    """Batch normalisation of (N, C), with state, all of it (C,) and float32:

    gamma         starts at 1, trained
    beta          starts at 0, trained
    running_mean  starts at 0, not trained
    running_var   starts at 1, not trained
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        """Make the state.

        Args:
            num_features: C.
            eps: added to the variance, under the root.
            momentum: of the running statistics, in torch's convention in every framework of this kata.
        """
        raise NotImplementedError("BatchNorm1d.__init__ is yours to write")

    def __call__(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Training: normalise by the batch, and move the running mean and the running unbiased variance towards it.
        Evaluation: normalise by the running statistics, and leave them alone; a batch of one is welcome.

        Args:
            x: (N, C), float32; not written to.
            training: which of the two.

        Returns:
            y, in the shape of x, float32.

        Raises:
            ValueError: x has other than two axes or other than C features; or, in training, fewer than two values
                per feature.
        """
        raise NotImplementedError("BatchNorm1d.__call__ is yours to write")


class BatchNorm2d(BatchNorm1d):
    """The same for images (N, H, W, C): a channel is a feature, over all images, rows and columns."""

    def __call__(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """As BatchNorm1d.__call__, for x of four axes. In training one image will do, if it has two pixels or more."""
        raise NotImplementedError("BatchNorm2d.__call__ is yours to write")
