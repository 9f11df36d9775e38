"""A small convolutional classifier, in PyTorch: from images of any size to classes.

The net that everybody writes first, as LeCun et al. did in 1998: convolutions find local patterns, each halving makes
the patterns larger and the map smaller, dense layers decide. Written down quickly it works for one image size only,
because the first dense layer counts its inputs. Averaging the last map into a fixed grid of cells frees it of the size:

    features = pool(relu(conv1(images)))
    features = pool(relu(conv2(features)))
    logits = head(dropout(relu(hidden(all numbers of adaptive_mean(features, grid), in a row))))

The layers are PyTorch's own, in attributes of exactly these names.

Layers     conv1 and conv2 are 3×3 convolutions that keep the size, with bias; hidden and head are dense, with bias.
Pool       the largest of each 2 × 2 pixels. Where a last row or column has no partner, it is pooled alone, so sizes are
           halved and rounded up, and even an image of one pixel gets through.
In a row   in (channel, row, column) order, as flatten puts them.
Dropout    zeroes each number of the hidden layer with probability `dropout` and divides the others by 1 - dropout; in
           training mode only.
Levels     1 cells · 2 shapes · 3 net · 4 any size · 5 dropout · 6 gradients · 7 training · 8 learns
Check      pytest -k small_cnn
"""

from torch import Tensor, nn


def adaptive_mean(features: Tensor, grid: int) -> Tensor:
    """Average a map into grid × grid cells, whatever its size.

    Along an axis of n pixels, cell i reaches from pixel i · n / grid, rounded down, up to and without pixel
    (i + 1) · n / grid, rounded up. Where grid does not divide n, neighbouring cells share a pixel; where n is less than
    grid, several cells hold the same one.

    Args:
        features: (batch, channels, height, width), floating point.
        grid: cells along each axis.

    Returns:
        (batch, channels, grid, grid): the mean of each cell.
    """
    raise NotImplementedError("adaptive_mean is yours to write")


class SmallCNN(nn.Module):
    """The net."""

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 10,
        widths: tuple[int, int] = (32, 64),
        hidden: int = 128,
        grid: int = 4,
        dropout: float = 0.2,
    ):
        """Make the layers.

        Args:
            in_channels: the channels of the images.
            classes: the number of logits.
            widths: the channels after conv1 and after conv2.
            hidden: the numbers between the two dense layers.
            grid: cells along each axis of the last map.
            dropout: the probability with which a hidden number is dropped in training.

        Raises:
            ValueError: grid is below one.
        """
        raise NotImplementedError("SmallCNN.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits.

        Args:
            images: (batch, in_channels, height, width), of any height and width from one pixel on.

        Returns:
            (batch, classes); no softmax.
        """
        raise NotImplementedError("SmallCNN.forward is yours to write")


def train(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    batch_size: int = 32,
    learning_rate: float = 0.001,
) -> list[float]:
    """Train by Adam on the cross-entropy, in training mode.

    Args:
        model: a SmallCNN.
        images: as the model takes them. They may be sorted by their labels.
        labels: (images,), integers from 0.
        epochs: how often each image is seen.
        batch_size: images in a step; the last step of an epoch takes those that are left. Each epoch has an order of
            its own, drawn at random.
        learning_rate: Adam's; its other settings are the framework's.

    Returns:
        For each epoch the mean over its images of the loss that each had in its step, before it, as a Python float.
    """
    raise NotImplementedError("train is yours to write")


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the part of the images whose largest logit is their label's, in evaluation mode, as a Python float."""
    raise NotImplementedError("accuracy is yours to write")
