"""Dropout, in PyTorch.

In training each entry is set to zero with probability p (Srivastava et al. 2014), so that no unit can lean on a
particular other. Inverted dropout divides what is kept by 1 − p at once:

    y = x · mask,    mask = 0 with probability p, otherwise 1 / (1 − p)

The expectation of y is x, and evaluation is the identity. Images lose whole channels (Tompson et al. 2015), sequences
the same features at every step (Gal and Ghahramani 2016); and a network that keeps dropping when it predicts tells by
the spread of its predictions how sure it is.

Levels     1 shapes and refusals · 2 values in training · 3 evaluation, p of 0 and 1 · 4 the backward pass
           5 spatial and variational · 6 numerical edges · 7 Monte-Carlo uncertainty · 8 real data
Off limits torch.nn.Dropout and its kin, torch.nn.functional.dropout and its kin, torch.dropout
Check      pytest -k dropout
"""

from collections.abc import Callable

from torch import Generator, Tensor


def dropout(x: Tensor, p: float, generator: Generator, training: bool = True) -> tuple[Tensor, Tensor]:
    """Drop each entry by itself.

    Args:
        x: any shape of one axis or more; float16, float32 or float64. It is not written to.
        p: the probability of being dropped, from 0 to 1, both included. It holds to the same precision in each dtype.
        generator: all randomness comes from here. In the same state it gives the same mask; dropping moves it on.
        training: whether to drop; in evaluation y is x.

    Returns:
        y, and the mask that x was multiplied with (all ones in evaluation), both in the shape and dtype of x, and as
        exact as that dtype is.

    Raises:
        ValueError: p is not a number from 0 to 1.
    """
    raise NotImplementedError("dropout is yours to write")


def dropout_backward(grad: Tensor, mask: Tensor) -> Tensor:
    """The backward pass by hand, for each of the kinds of this kata.

    Args:
        grad: the gradient of the loss with respect to y. It is not written to.
        mask: what the forward pass returned; it broadcasts to grad.

    Returns:
        The gradient with respect to x, in the shape and dtype of grad.
    """
    raise NotImplementedError("dropout_backward is yours to write")


def spatial_dropout(x: Tensor, p: float, generator: Generator, training: bool = True) -> tuple[Tensor, Tensor]:
    """Drop whole channels: neighbouring pixels are so alike that dropping single ones hides little.

    Args:
        x: images (N, C, H, W).
        p, generator, training: as in `dropout`.

    Returns:
        y, in the shape of x, and the mask (N, C, 1, 1), both in the dtype of x. Each channel of each image is
        dropped by itself, all of it.

    Raises:
        ValueError: p is not a number from 0 to 1, or x has other than four axes.
    """
    raise NotImplementedError("spatial_dropout is yours to write")


def variational_dropout(x: Tensor, p: float, generator: Generator, training: bool = True) -> tuple[Tensor, Tensor]:
    """Drop the same features at every step of a sequence: new noise at each step would drown a recurrent state.

    Args:
        x: sequences (N, T, D).
        p, generator, training: as in `dropout`.

    Returns:
        y, in the shape of x, and the mask (N, 1, D), both in the dtype of x. Each feature of each sequence is dropped
        by itself, at every step.

    Raises:
        ValueError: p is not a number from 0 to 1, or x has other than three axes.
    """
    raise NotImplementedError("variational_dropout is yours to write")


def monte_carlo(model: Callable[..., Tensor], x: Tensor, passes: int) -> tuple[Tensor, Tensor]:
    """Predict several times with dropout left on (Gal and Ghahramani 2016).

    Args:
        model: `model(x, training=True)` is one prediction of random dropout; call it `passes` times.
        x: what to predict for.
        passes: how many predictions.

    Returns:
        The mean of the predictions, and their standard deviation (divided by passes − 1), in their shape and dtype.

    Raises:
        ValueError: fewer than two passes.
    """
    raise NotImplementedError("monte_carlo is yours to write")
