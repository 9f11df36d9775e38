"""Transposed convolution, in PyTorch: how generators and decoders make images larger.

A convolution gathers a window of pixels into one number. Its transpose goes the other way: each pixel is multiplied by
the whole kernel, and the copies are laid down `stride` apart and added where they overlap. As matrices the two are A
and Aᵀ: nothing is inverted, only the shape is undone, and the transpose is what carries gradients back through a
convolution (Dumoulin and Visin 2016, "A guide to convolution arithmetic"):

    canvas[i·stride + k, j·stride + l, o] += kernel[k, l, o, c] · images[i, j, c]

summed over the pixels (i, j), the taps (k, l) and the channels c; then `padding` rows and columns are cut off each
side of the canvas. The kernel is that of the convolution which is transposed, as it is: no axis moved, nothing flipped.

Where the stride does not divide the kernel, some pixels get more copies than their neighbours: a checkerboard, visible
in generated images (Odena et al. 2016). Enlarging first and convolving then avoids it.

Layout     images (batch, in channels, height, width),
           kernels (in channels, out channels, height, width)
Arguments  a stride, padding or output padding is one number, or two: (vertical, horizontal)
Levels     1 sizes · 2 spread · 3 stride and padding · 4 adjoint · 5 checkerboard · 6 gradients ·
           7 any input
Off limits conv_transpose2d of torch and torch.nn.functional, torch.convolution, torch.nn.ConvTranspose2d,
           torch.nn.grad.conv2d_input; autograd: Tensor.backward, backward, grad and functional.vjp of torch.autograd,
           grad and vjp of torch.func
Check      pytest -k transposed_conv
"""

from collections.abc import Callable

from torch import Tensor

Pair = int | tuple[int, int]


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> int:
    """Count the pixels that come out along one axis.

    With a stride, several sizes lead to the same one under the convolution. The output padding chooses among them: it
    makes the canvas longer at its end, by pixels that no copy of the kernel reaches.

    Args:
        size: the image's length, in pixels, one or more.
        kernel: the number of taps.
        stride: from one copy of the kernel to the next, in pixels.
        padding: pixels cut off the canvas at its start, and as many at its end.
        output_padding: pixels added to the canvas at its end, before the cut; less than the stride.

    Returns:
        The length of what is left of the canvas.

    Raises:
        ValueError: stride is below one, padding or output_padding below zero, output_padding not less than the stride,
            or nothing is left.
    """
    raise NotImplementedError("output_size is yours to write")


def transposed_conv2d(
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
) -> Tensor:
    """Lay down a copy of the kernel for every pixel, and add.

    The number of operations may depend on the kernel's height and width: not on the size or the number of the images or
    channels. No argument is written to. Autograd goes through it. The memory need not be
    contiguous.

    Args:
        images: (batch, in channels, height, width), floating point.
        kernel: (in channels, out channels, height, width), in the dtype of the images.
        bias: (out channels,), added once to every output, also where no copy of the kernel lies.
        stride, padding, output_padding: as in output_size, for both axes or for each.

    Returns:
        (batch, out channels, output height, output width), in the dtype of the images.

    Raises:
        ValueError: as in output_size; the images' channels are not the kernel's in channels; the bias has another
            length than the out channels.
    """
    raise NotImplementedError("transposed_conv2d is yours to write")


def adjoint_gap(
    forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor
) -> float:
    """Run the dot-product test: is `backward` the transpose of `forward`?

    For a matrix A and its transpose ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for all x and y, so random ones tell a wrong pair apart,
    and no matrix is needed.

    Args:
        forward: a linear function; it maps x to the shape of y.
        backward: maps y to the shape of x.
        x, y: any tensors of the two shapes.

    Returns:
        |a - b| / max(|a|, |b|), with the two dot products a and b, as a Python float; 0 where both are zero.
    """
    raise NotImplementedError("adjoint_gap is yours to write")


def overlaps(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> list[int]:
    """Count, along one axis, the copies of the kernel that reach each output pixel.

    The arguments and errors are those of output_size.

    Returns:
        A number for each output pixel. Away from the ends they are all equal just where the stride divides the kernel.
    """
    raise NotImplementedError("overlaps is yours to write")


def resize_conv2d(images: Tensor, kernel: Tensor, bias: Tensor | None = None, scale: int = 2) -> Tensor:
    """Enlarge without a checkerboard: repeat every pixel, then convolve.

    Args:
        images: (batch, in channels, height, width), floating point.
        kernel: (out channels, in channels, height, width), in the dtype of the images: an ordinary
            convolution's, not flipped.
        bias: (out channels,).
        scale: each pixel becomes scale × scale equal ones.

    Returns:
        (batch, out channels, scale · height, scale · width): the convolution has stride 1 and zeros around
        the enlarged images, half the kernel's size, rounded down, on every side.

    Raises:
        ValueError: the kernel's height or width is even, or scale is below one.
    """
    raise NotImplementedError("resize_conv2d is yours to write")
