"""Transposed convolution, in TensorFlow.

Where the copies of the kernel begin is where the pixels lie, `stride` apart with zeros between them. Laying down a copy
of the kernel at each is an ordinary convolution of that sparse image, with enough zeros around it that every copy fits.
The trap: a convolution reads its kernel from the other end, so here it is turned round, and its two channel axes
change places.
"""

from collections.abc import Callable

import tensorflow as tf
from tensorflow import Tensor

Pair = int | tuple[int, int]


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> int:
    if stride < 1 or padding < 0 or not 0 <= output_padding < stride:
        raise ValueError(f"stride {stride}, padding {padding}, output padding {output_padding}")
    left = (size - 1) * stride + kernel + output_padding - 2 * padding
    if left < 1:
        raise ValueError(f"a padding of {padding} cuts everything off")
    return left


def transposed_conv2d(
    images: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
) -> Tensor:
    taps, (filters, channels) = kernel.shape[:2], kernel.shape[2:]
    if images.shape[-1] != channels or (bias is not None and bias.shape != (filters,)):
        raise ValueError(f"images {tuple(images.shape)}, kernel {tuple(kernel.shape)} and bias do not fit")
    (down, across), (top, left), (bottom, right) = map(_pair, (stride, padding, output_padding))
    settings = zip(images.shape[1:3], taps, *map(_pair, (stride, padding, output_padding)), strict=True)
    height, width = (output_size(*setting) for setting in settings)

    sparse = _spaced(_spaced(images, down, axis=1), across, axis=2)
    sparse = tf.pad(sparse, ((0, 0), (taps[0] - 1, taps[0] - 1 + bottom), (taps[1] - 1, taps[1] - 1 + right), (0, 0)))
    turned = tf.transpose(tf.reverse(kernel, axis=(0, 1)), (0, 1, 3, 2))
    canvas = tf.nn.conv2d(sparse, turned, strides=1, padding="VALID")
    output = canvas[:, top : top + height, left : left + width]
    return output if bias is None else output + bias


def adjoint_gap(
    forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor
) -> float:
    a, b = float(tf.reduce_sum(forward(x) * y)), float(tf.reduce_sum(x * backward(y)))
    return abs(a - b) / (max(abs(a), abs(b)) or 1)


def overlaps(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> list[int]:
    counts = [0] * (output_size(size, kernel, stride, padding, output_padding) + 2 * padding)
    for pixel in range(size):
        for tap in range(kernel):
            counts[pixel * stride + tap] += 1
    return counts[padding : len(counts) - padding]


def resize_conv2d(images: Tensor, kernel: Tensor, bias: Tensor | None = None, scale: int = 2) -> Tensor:
    height, width = kernel.shape[:2]
    if height % 2 == 0 or width % 2 == 0 or scale < 1:
        raise ValueError(f"the kernel's sizes {height}, {width} must be odd, and the scale {scale} one at least")
    large = tf.repeat(tf.repeat(images, scale, axis=1), scale, axis=2)
    output = tf.nn.conv2d(large, kernel, strides=1, padding="SAME")
    return output if bias is None else output + bias


def _spaced(images: Tensor, stride: int, axis: int) -> Tensor:
    """stride - 1 zeros between neighbours."""
    shape = list(images.shape)
    gaps = [(0, 0)] * (len(shape) + 1)
    gaps[axis + 1] = (0, stride - 1)
    spaced = tf.pad(tf.expand_dims(images, axis + 1), gaps)
    size = shape[axis] * stride
    spaced = tf.reshape(spaced, [*shape[:axis], size, *shape[axis + 1 :]])
    return tf.gather(spaced, tf.range(size - stride + 1), axis=axis)


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
