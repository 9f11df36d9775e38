"""Transposed convolution, in NumPy.

Seen from the taps there is no loop over pixels: tap (k, l) sends all images at once, mixed by one matrix, to the canvas
places k, k + stride, k + 2·stride … Added up over the taps, that is the transpose. The trap: copies overlap, so it is
`+=`; and padding, which made the convolution's image larger, here cuts the canvas smaller.
"""

from collections.abc import Callable

import numpy as np

Pair = int | tuple[int, int]


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> int:
    if stride < 1 or padding < 0 or not 0 <= output_padding < stride:
        raise ValueError(f"stride {stride}, padding {padding}, output padding {output_padding}")
    left = (size - 1) * stride + kernel + output_padding - 2 * padding
    if left < 1:
        raise ValueError(f"a padding of {padding} cuts everything off")
    return left


def transposed_conv2d(
    images: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
) -> np.ndarray:
    taps, (filters, channels) = kernel.shape[:2], kernel.shape[2:]
    if images.shape[-1] != channels or (bias is not None and bias.shape != (filters,)):
        raise ValueError(f"images {images.shape}, kernel {kernel.shape} and bias do not fit")
    (top, left), (down, across) = _pair(padding), _pair(stride)
    settings = zip(images.shape[1:3], taps, *map(_pair, (stride, padding, output_padding)), strict=True)
    height, width = (output_size(*setting) for setting in settings)

    canvas = np.zeros((len(images), height + 2 * top, width + 2 * left, filters), images.dtype)
    for row, column in np.ndindex(taps):
        places = canvas[:, row::down, column::across]
        places[:, : images.shape[1], : images.shape[2]] += images @ kernel[row, column].T
    output = canvas[:, top : top + height, left : left + width]
    return output if bias is None else output + bias


def adjoint_gap(
    forward: Callable[[np.ndarray], np.ndarray],
    backward: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
) -> float:
    a, b = np.sum(forward(x) * y), np.sum(x * backward(y))
    return float(abs(a - b) / (max(abs(a), abs(b)) or 1))


def overlaps(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> list[int]:
    counts = [0] * (output_size(size, kernel, stride, padding, output_padding) + 2 * padding)
    for pixel in range(size):
        for tap in range(kernel):
            counts[pixel * stride + tap] += 1
    return counts[padding : len(counts) - padding]


def resize_conv2d(images: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None, scale: int = 2) -> np.ndarray:
    taps = kernel.shape[:2]
    if taps[0] % 2 == 0 or taps[1] % 2 == 0 or scale < 1:
        raise ValueError(f"the kernel's sizes {taps} must be odd, and the scale {scale} one at least")
    large = images.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width = large.shape[1:3]
    padded = np.pad(large, ((0, 0), *[(size // 2, size // 2) for size in taps], (0, 0)))
    output = sum(
        padded[:, row : row + height, column : column + width] @ kernel[row, column] for row, column in np.ndindex(taps)
    )
    return output if bias is None else output + bias


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
