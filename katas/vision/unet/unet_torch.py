"""U-Net, in PyTorch: a class for every pixel.

To say what a pixel belongs to, a net must see far around it, and still know where it is. A U-Net halves the images on
the way down, so that few convolutions see far; doubles them on the way up; and hands each level's features across, so
that the way up knows the edges again (Ronneberger, Fischer and Brox 2015). It learns from few images, hence its place
in medicine.

    features = the images, padded                                  down, for each level, the finest first:
        skip = encoder[level](features);  features = the largest of each 2 × 2 pixels of skip
    features = bottleneck(features)                                up, for each level, the finest last:
        features = decoder[level](up[level](features) and skip, side by side in this order along the channels)
    logits = head(features), cut back to the size of the images

The layers are PyTorch's own, in attributes of exactly these names; encoder, up and decoder are ModuleLists, the finest
level first.

Padding    zeros at the bottom and at the right, up to the next multiple of 2 ** depth, so that every size can be halved
           and found again. There are no more zeros than that, and none where the size is such a multiple already.
Channels   level i has width · 2**i, the bottleneck width · 2**depth. The 3×3 convolutions keep the size (one pixel of
           zeros on every side) and have no bias. up[i] is a transposed convolution, 2×2 at stride 2, from twice level
           i's channels to level i's, with bias. head is a 1×1 convolution with bias.
Norms      as they come: they forget a tenth of the kept statistics at each step.
Levels     1 shapes · 2 double · 3 skips · 4 any size · 5 loss · 6 gradients · 7 learns
Check      pytest -k unet
"""

from torch import Tensor, nn


class DoubleConv(nn.Module):
    """relu(norm2(conv2(relu(norm1(conv1(x)))))): two 3×3 convolutions, each with batch norm and ReLU."""

    def __init__(self, in_channels: int, channels: int):
        """Make the layers conv1, norm1, conv2 and norm2.

        Args:
            in_channels: the channels that come in.
            channels: those after conv1 and after conv2.
        """
        raise NotImplementedError("DoubleConv.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Run the layers.

        Args:
            images: (batch, in_channels, height, width), floating point; they are not written to.

        Returns:
            The same height and width, with `channels` channels.
        """
        raise NotImplementedError("DoubleConv.forward is yours to write")


class UNet(nn.Module):
    """The net. encoder, bottleneck and decoder are made of DoubleConvs."""

    def __init__(self, in_channels: int = 1, out_channels: int = 1, width: int = 16, depth: int = 3):
        """Make the layers.

        Args:
            in_channels: the channels of the images.
            out_channels: the logits of each pixel; each answers a question of its own, with yes or no.
            width: the channels of the finest level.
            depth: the number of levels, that is of halvings.

        Raises:
            ValueError: depth is below one.
        """
        raise NotImplementedError("UNet.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, one for each pixel and output channel; no sigmoid.

        Args:
            images: (batch, in_channels, height, width), of any size, also below 2 ** depth; they are not written to.

        Returns:
            (batch, out_channels, height, width).
        """
        raise NotImplementedError("UNet.forward is yours to write")


def dice_loss(logits: Tensor, targets: Tensor, smooth: float = 1.0) -> Tensor:
    """How far prediction and target are from lying on each other (Milletari, Navab and Ahmadi 2016).

    With p = sigmoid(logits) and t = targets, for each image and channel, the sums over height and width:

        1 - (2 Σ p·t + smooth) / (Σ p + Σ t + smooth)

    and of that the mean over all images and channels. Large areas and small ones count alike, as no pixel of the
    background appears but through p. Its gradient is finite everywhere, also where logits are huge.

    Args:
        logits: (batch, channels, height, width).
        targets: in their shape and dtype, 1 inside and 0 outside.
        smooth: above zero; it keeps an image without any inside from dividing by zero.

    Returns:
        The mean, in shape () and the dtype of the logits.
    """
    raise NotImplementedError("dice_loss is yours to write")


def iou(logits: Tensor, targets: Tensor) -> Tensor:
    """Intersection over union, the usual measure: the pixels in both, divided by the pixels in either.

    A pixel is predicted to be inside where its probability is above one half.

    Args:
        logits: (batch, channels, height, width).
        targets: in their shape and dtype, 1 inside and 0 outside.

    Returns:
        (batch, channels), float32: one number for each image and channel; 1 where nothing is inside in either.
    """
    raise NotImplementedError("iou is yours to write")


def train(model: nn.Module, images: Tensor, targets: Tensor, steps: int, learning_rate: float = 0.01) -> list[float]:
    """Train by Adam on the Dice loss: each step sees all images once, in training mode.

    Args:
        model: a UNet.
        images: as the model takes them.
        targets: in the shape of its logits.
        steps: the number of steps.
        learning_rate: Adam's; its other settings are the framework's.

    Returns:
        The loss of each step, as it was before the step, as Python floats.
    """
    raise NotImplementedError("train is yours to write")
