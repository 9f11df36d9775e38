"""Two-dimensional convolution, in TensorFlow.

An output row i reads the padded rows stride · i + dilation · k, and the columns do likewise; together they number the
pixels that each window sees. With these numbers im2col is one gather and the convolution one product over taps and
channels. The way back is the same product turned round, and a sum over equal numbers: windows overlap, so a pixel gets
the sum of what all its windows send back. That sum is the trap.

In the products: n image, p output position, k tap, g group, c channel of the group, f filter of the group.
"""

import math

import tensorflow as tf
from tensorflow import Tensor

Pair = int | tuple[int, int]


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    if stride < 1 or dilation < 1 or padding < 0:
        raise ValueError(f"stride {stride} and dilation {dilation} start at one, padding {padding} at zero")
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(f"a kernel of {kernel} with dilation {dilation} does not fit into {size} + 2·{padding} pixels")
    return room // stride + 1


def conv2d_direct(
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    _check_channels(images, kernel, bias, groups)
    batch, (*taps, inputs, filters) = images.shape[0], kernel.shape
    index = _index(images, taps, stride, padding, dilation)
    height, width = index.shape[:2]
    pixels, by_group = _pixels(images, padding), tf.reshape(kernel, (*taps, inputs, groups, filters // groups))
    output = []
    for i in range(height):
        for j in range(width):
            window = tf.reshape(tf.gather(pixels, index[i, j], axis=1), (batch, *taps, groups, inputs))
            output.append(tf.einsum("nklgc,klcgf->ngf", window, by_group))
    output = tf.reshape(tf.stack(output, axis=1), (batch, height, width, filters))
    return output if bias is None else output + bias


def im2col(images: Tensor, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> Tensor:
    patches = tf.gather(_pixels(images, padding), _index(images, kernel_size, stride, padding, dilation), axis=1)
    batch, height, width, *patch = patches.shape
    return tf.reshape(patches, (batch, height * width, math.prod(patch)))


def conv2d(
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    _check_channels(images, kernel, bias, groups)
    height, width = _index(images, kernel.shape[:2], stride, padding, dilation).shape[:2]
    patches, by_group = _factors(images, kernel, stride, padding, dilation, groups)
    output = tf.einsum("npkgc,kcgf->npgf", patches, by_group)
    output = tf.reshape(output, (images.shape[0], height, width, kernel.shape[-1]))
    return output if bias is None else output + bias


def conv2d_backward(
    gradient: Tensor,
    images: Tensor,
    kernel: Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, height, width, channels = images.shape
    index = _index(images, kernel.shape[:2], stride, padding, dilation)
    patches, by_group = _factors(images, kernel, stride, padding, dilation, groups)
    to_output = tf.reshape(gradient, (*patches.shape[:2], *by_group.shape[2:]))
    to_kernel = tf.reshape(tf.einsum("npkgc,npgf->kcgf", patches, to_output), kernel.shape)

    to_patches = tf.einsum("npgf,kcgf->pkngc", to_output, by_group)
    to_patches = tf.reshape(to_patches, (*index.shape, batch, channels))
    vertical, horizontal = _pair(padding)
    padded = height + 2 * vertical, width + 2 * horizontal
    to_pixels = tf.math.unsorted_segment_sum(to_patches, index, padded[0] * padded[1])
    to_padded = tf.transpose(tf.reshape(to_pixels, (*padded, batch, channels)), (2, 0, 1, 3))
    to_images = to_padded[:, vertical : vertical + height, horizontal : horizontal + width]

    return to_images, to_kernel, tf.reduce_sum(gradient, axis=(0, 1, 2))


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _pixels(images: Tensor, padding: Pair) -> Tensor:
    """The padded images as rows of pixels: (n, pixel, channel)."""
    vertical, horizontal = _pair(padding)
    padded = tf.pad(images, ((0, 0), (vertical, vertical), (horizontal, horizontal), (0, 0)))
    batch, height, width, channels = padded.shape
    return tf.reshape(padded, (batch, height * width, channels))


def _index(images: Tensor, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """The number of the padded pixel that output position (i, j) reads through tap (k, l)."""
    settings = zip(images.shape[1:3], *map(_pair, (kernel_size, stride, padding, dilation)), strict=True)
    rows, columns = (
        stride * tf.range(output_size(size, kernel, stride, padding, dilation))[:, None] + dilation * tf.range(kernel)
        for size, kernel, stride, padding, dilation in settings
    )
    return rows[:, None, :, None] * (images.shape[2] + 2 * _pair(padding)[1]) + columns[None, :, None, :]


def _factors(images: Tensor, kernel: Tensor, stride: Pair, padding: Pair, dilation: Pair, groups: int):
    """The patches as (n, p, k, g, c) and the kernel as (k, c, g, f): convolution is their product over k and c."""
    height, width, inputs, filters = kernel.shape
    patches = im2col(images, (height, width), stride, padding, dilation)
    return (
        tf.reshape(patches, (*patches.shape[:2], height * width, groups, inputs)),
        tf.reshape(kernel, (height * width, inputs, groups, filters // groups)),
    )


def _check_channels(images: Tensor, kernel: Tensor, bias: Tensor | None, groups: int) -> None:
    inputs, filters = kernel.shape[2:]
    if images.shape[-1] != groups * inputs or filters % groups:
        raise ValueError(f"{images.shape[-1]} channels do not fit {filters} filters of {inputs} in {groups} groups")
    if bias is not None and bias.shape != (filters,):
        raise ValueError(f"{filters} filters, but a bias of shape {tuple(bias.shape)}")
