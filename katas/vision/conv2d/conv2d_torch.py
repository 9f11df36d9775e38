"""Two-dimensional convolution, in PyTorch: window by window, then as one matrix product.

A filter slides over the image. Each output is the dot product of the filter with the window below it, so few weights
serve every place, and a shifted image gives a shifted output. As in every framework the kernel is not flipped
(strictly this is a cross-correlation). Copying each window into a row of a matrix (im2col) turns the whole layer into
one matrix product, which is what hardware does best (Chellapilla, Puri and Simard 2006):

    output[i, j, f] = bias[f] + Σ kernel[k, l, c, f] · padded[i·stride + k·dilation, j·stride + l·dilation, c]

summed over the taps (k, l) and the channels c. Groups split channels and filters into equal consecutive parts; a
filter sees only the channels of its part. A group for each channel is a depthwise convolution.

Layout     images (batch, channels, height, width), kernels (filters, channels / groups, height, width)
Arguments  a stride, padding or dilation is one number, or two: (vertical, horizontal)
Levels     1 sizes · 2 direct · 3 patches · 4 one product · 5 groups · 6 gradients · 7 edges
Off limits conv2d, conv_transpose2d and convolution of torch; Conv2d, ConvTranspose2d, Fold and Unfold of torch.nn;
           conv2d, conv_transpose2d, fold and unfold of torch.nn.functional; torch.nn.grad; autograd: Tensor.backward,
           backward, grad and functional.vjp of torch.autograd, grad and vjp of torch.func
Check      pytest -k conv2d
"""

from torch import Tensor

Pair = int | tuple[int, int]


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Count the places of a kernel along one axis.

    Args:
        size: the image's length, in pixels.
        kernel: the number of taps.
        stride: from one window to the next, in pixels.
        padding: zeros put before the image, and as many behind it.
        dilation: from one tap to the next, in pixels.

    Returns:
        How many windows lie wholly inside the padded image; pixels that are left over at its end are not used.

    Raises:
        ValueError: the kernel fits nowhere, stride or dilation is below one, or padding below zero.
    """
    raise NotImplementedError("output_size is yours to write")


def conv2d_direct(
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve window by window: loops are welcome here.

    Args:
        images: (batch, channels, height, width), floating point.
        kernel: (filters, channels / groups, kernel height, kernel width), in the dtype of the images.
        bias: (filters,), added to every output of its filter.
        stride, padding, dilation: as in output_size, for both axes or for each.
        groups: the number of parts that channels and filters are split into.

    Returns:
        (batch, filters, output height, output width), in the dtype of the images.

    Raises:
        ValueError: as in output_size; the images' channels are not groups times the kernel's; the filters cannot be
            split into equal groups; the bias has another length than the filters.
    """
    raise NotImplementedError("conv2d_direct is yours to write")


def im2col(images: Tensor, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> Tensor:
    """Copy out every window.

    Args:
        images: (batch, channels, height, width).
        kernel_size: the number of taps, for both axes or for each.
        stride, padding, dilation: as in conv2d_direct.

    Returns:
        (batch, channels · kernel height · kernel width, output height · output width), with the patch's entries in
        the order of the kernel's last three axes: channel, tap row, tap column. Padded places hold zeros.
        The positions go row by row, and within a row from left to right.
    """
    raise NotImplementedError("im2col is yours to write")


def conv2d(
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve by a product of patches and filters: conv2d_direct without its loops.

    The number of operations depends on the kernel's height and width and on the groups at most: not on the size or
    the number of the images, channels or filters. There may be no images at all, and their memory need not be
    contiguous. Autograd goes through it.

    Arguments, result and errors are those of conv2d_direct.
    """
    raise NotImplementedError("conv2d is yours to write")


def conv2d_backward(
    gradient: Tensor,
    images: Tensor,
    kernel: Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Carry the gradient of a loss back through conv2d, by hand: autograd is off limits.

    As for conv2d, the number of operations does not grow with the images.

    Args:
        gradient: the gradient with respect to the output of conv2d, in its shape.
        images, kernel, stride, padding, dilation, groups: what conv2d was called with.

    Returns:
        The gradients with respect to the images, the kernel and the bias, each in the shape of what it belongs to
        and in the dtype of the images. No argument is written to.
    """
    raise NotImplementedError("conv2d_backward is yours to write")
