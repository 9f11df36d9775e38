"""Residual blocks, in PyTorch.

A plain stack of many layers trains badly: its gradient grows or fades from layer to layer. A residual block computes
only a change and adds it to what came in, so a deep net can start as nearly nothing, and the gradient has a way round
every branch (He et al. 2015, "Deep residual learning"; for the third kind He et al. 2016, "Identity mappings"):

    basic            relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x))
    bottleneck       relu(norm3(conv3(relu(norm2(conv2(relu(norm1(conv1(x)))))))) + shortcut(x))
    pre-activation   conv2(relu(norm2(conv1(a)))) + shortcut(x), with a = relu(norm1(x))

The layers are PyTorch's own two-dimensional convolutions and batch norms, in attributes of exactly these names.

Shortcut   x itself where the block keeps the shape; elsewhere projection_norm(projection(x)), in the pre-activation
           block projection(a). A projection is a 1×1 convolution; where there is none, `projection` is None.
Layers     no convolution has a bias; a 3×3 convolution pads one pixel of zeros on every side, at stride 2 as well.
Start      a fresh block is its shortcut: the branch's last layer starts at zero. In the basic and the bottleneck block
           that is the scale of the last norm; every other scale starts at one. In the pre-activation block it is the
           kernel of conv2, as its last norm stands before a ReLU, and no gradient would get through to its scale.
Levels     1 shapes · 2 basic · 3 bottleneck · 4 pre-activation · 5 start · 6 net · 7 gradients
Check      pytest -k residual_block
"""

from collections.abc import Sequence

from torch import Tensor, nn

EXPANSION = 4


class BasicBlock(nn.Module):
    """Two 3×3 convolutions: conv1 with the stride, and conv2."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        """Make the layers.

        Args:
            in_channels: the channels of the images that come in.
            channels: those of everything after conv1, the output included.
            stride: 1 keeps height and width; 2 halves them, rounded up.
        """
        raise NotImplementedError("BasicBlock.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Run the block.

        Args:
            images: (batch, in_channels, height, width), floating point; they are not written to.

        Returns:
            (batch, channels, height / stride rounded up, width / stride rounded up).
        """
        raise NotImplementedError("BasicBlock.forward is yours to write")


class BottleneckBlock(nn.Module):
    """A 1×1 convolution to few channels, a 3×3 one there, and a 1×1 one to EXPANSION times as many.

    The stride is at the 3×3 convolution, conv2: at conv1 it would throw away three of four pixels unseen.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        """Make the layers.

        Args:
            in_channels: the channels of the images that come in.
            channels: those of conv1 and conv2; the output has EXPANSION times as many.
            stride: 1 keeps height and width; 2 halves them, rounded up.
        """
        raise NotImplementedError("BottleneckBlock.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Run the block: as in BasicBlock."""
        raise NotImplementedError("BottleneckBlock.forward is yours to write")


class PreActivationBlock(nn.Module):
    """Norm and ReLU come before each of two 3×3 convolutions, conv1 with the stride, and nothing after the sum."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        """Make the layers: the arguments are BasicBlock's."""
        raise NotImplementedError("PreActivationBlock.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Run the block: as in BasicBlock."""
        raise NotImplementedError("PreActivationBlock.forward is yours to write")


class ResidualNet(nn.Module):
    """head(average over height and width of blocks(relu(stem_norm(stem(images))))).

    `stem` is a 3×3 convolution to `width` channels, `blocks` a ModuleList of every BasicBlock in order, `head` a
    linear layer with bias. With two convolutions a block, (17, 16, 16) makes a net of a hundred layers.
    """

    def __init__(self, stages: Sequence[int], in_channels: int = 1, classes: int = 10, width: int = 16):
        """Make the layers.

        Args:
            stages: the number of blocks in each stage. Stage s, counted from zero, has width · 2**s channels. The first
                block of every stage but the first has stride 2, every other block stride 1.
            in_channels: the channels of the images.
            classes: the number of logits.
            width: the channels of the stem and of the first stage.

        Raises:
            ValueError: there is no stage, or one with less than one block.
        """
        raise NotImplementedError("ResidualNet.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (batch, classes)."""
        raise NotImplementedError("ResidualNet.forward is yours to write")
