"""The inverted bottleneck with squeeze-and-excitation, in PyTorch.

The block that MobileNetV2, MobileNetV3 and EfficientNet repeat (Sandler et al. 2018; Tan and Le 2019). An ordinary
bottleneck computes in few channels; this one widens first, because its convolution is depthwise, one filter for each
channel, and so costs little however many channels there are. Between the wide and the narrow part a gate looks at the
whole image and weighs each channel (Hu et al. 2018, "Squeeze-and-excitation networks"):

    w = silu(expand_norm(expand(x)))               a 1×1 convolution to in_channels · expand_ratio channels
    d = silu(depthwise_norm(depthwise(w)))         one kernel_size × kernel_size filter for each channel
    y = project_norm(project(excitation(d)))       a 1×1 convolution to the channels that come out
    gate(d) = sigmoid(widen(silu(narrow(mean of d over height and width)))),   excitation(d) = d · gate(d)

with silu(x) = x · sigmoid(x). The layers are PyTorch's own, in attributes of exactly these names.

Expand     an expand ratio of 1 widens nothing: then `expand` and `expand_norm` are None, and w = x.
Shortcut   at stride 1, where as many channels come out as come in, the result is y + x; elsewhere it is y.
Layers     convolutions have no bias. narrow and widen have one; they are dense layers or, which is the same, 1×1
           convolutions. The depthwise convolution pads kernel_size // 2 zeros on every side, at stride 2 as well.
Levels     1 widths · 2 excitation · 3 parts · 4 block · 5 shortcut · 6 gradients · 7 no loops
Check      pytest -k mbconv
"""

from torch import Tensor, nn


def squeezed_channels(in_channels: int, se_ratio: float = 0.25) -> int:
    """Count the channels between narrow and widen.

    Args:
        in_channels: the channels that come into the block, before it widens them.
        se_ratio: their part that is kept, above 0 and at most 1.

    Returns:
        in_channels · se_ratio, rounded down, but never less than one.
    """
    raise NotImplementedError("squeezed_channels is yours to write")


class SqueezeExcitation(nn.Module):
    """The gate: weighs each channel of each image by what its mean, and that of every other channel, says."""

    def __init__(self, channels: int, squeezed: int):
        """Make the layers `narrow`, from channels to squeezed, and `widen`, back again.

        Args:
            channels: the channels of the images.
            squeezed: the channels between the two layers.

        Raises:
            ValueError: squeezed is below one.
        """
        raise NotImplementedError("SqueezeExcitation.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Weigh the channels.

        Args:
            images: (batch, channels, height, width), floating point; they are not written to.

        Returns:
            The images with each channel multiplied by its gate, in their shape.
        """
        raise NotImplementedError("SqueezeExcitation.forward is yours to write")


class MBConv(nn.Module):
    """The block, with `excitation`, a SqueezeExcitation of squeezed_channels(in_channels, se_ratio), in its middle."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        expand_ratio: int = 6,
        se_ratio: float = 0.25,
    ):
        """Make the layers.

        Args:
            in_channels: the channels of the images that come in.
            channels: those that come out.
            kernel_size: the depthwise filter's height and width, odd.
            stride: the depthwise convolution's: 1 keeps height and width, 2 halves them, rounded up.
            expand_ratio: how many times wider the block is than what comes in.
            se_ratio: as in squeezed_channels.

        Raises:
            ValueError: kernel_size is even, or expand_ratio below one.
        """
        raise NotImplementedError("MBConv.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Run the block. Its operations are as many for many channels as for few.

        Args:
            images: (batch, in_channels, height, width), floating point; they are not written to.

        Returns:
            (batch, channels, height / stride rounded up, width / stride rounded up).
        """
        raise NotImplementedError("MBConv.forward is yours to write")
