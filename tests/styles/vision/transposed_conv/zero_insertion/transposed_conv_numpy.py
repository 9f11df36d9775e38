"""Transposed convolution by windows of the image with zeros between its pixels: sliding views and einsum."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def as_pair(value):
    return tuple(np.broadcast_to(value, 2).tolist())


def output_size(size, kernel, stride=1, padding=0, output_padding=0):
    if stride < 1 or padding < 0 or output_padding < 0 or output_padding >= stride:
        raise ValueError("these settings make no size")
    full = 1 + (size - 1) * stride + (kernel - 1) + output_padding
    if full <= 2 * padding:
        raise ValueError("these settings leave no pixel")
    return full - 2 * padding


def correlate(padded, kernel):
    """Ordinary convolution; the kernel is (height, width, in, out)."""
    windows = sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))
    return np.einsum("nijckl,klco->nijo", windows, kernel, optimize=True)


def transposed_conv2d(images, kernel, bias=None, stride=1, padding=0, output_padding=0):
    if images.shape[-1] != kernel.shape[-1]:
        raise ValueError("the channels differ")
    if bias is not None and bias.shape[0] != kernel.shape[2]:
        raise ValueError("the bias has another length")
    shape, around = [len(images)], [(0, 0)]
    for size, taps, step, border, extra in zip(
        images.shape[1:3], kernel.shape[:2], as_pair(stride), as_pair(padding), as_pair(output_padding), strict=True
    ):
        output_size(size, taps, step, border, extra)
        shape.append((size - 1) * step + 1)
        around.append((taps - 1, taps - 1 + extra))
    sparse = np.zeros((*shape, images.shape[-1]), images.dtype)
    down, across = as_pair(stride)
    sparse[:, ::down, ::across] = images
    full = correlate(np.pad(sparse, (*around, (0, 0))), kernel[::-1, ::-1].swapaxes(2, 3))
    top, left = as_pair(padding)
    output = full[:, top : full.shape[1] - top, left : full.shape[2] - left]
    return output if bias is None else output + bias


def adjoint_gap(forward, backward, x, y):
    a, b = np.vdot(forward(x), y), np.vdot(x, backward(y))
    return 0.0 if a == b == 0 else float(np.abs(a - b) / np.maximum(np.abs(a), np.abs(b)))


def overlaps(size, kernel, stride=1, padding=0, output_padding=0):
    length = output_size(size, kernel, stride, padding, output_padding)
    places = np.add.outer(np.arange(size) * stride, np.arange(kernel)).ravel() - padding
    return np.bincount(places[(places >= 0) & (places < length)], minlength=length).tolist()


def resize_conv2d(images, kernel, bias=None, scale=2):
    height, width = kernel.shape[:2]
    if not (height % 2 and width % 2 and scale > 0):
        raise ValueError("an odd kernel and a positive scale")
    large = np.kron(images, np.ones((1, scale, scale, 1), images.dtype))
    output = correlate(np.pad(large, ((0, 0), (height // 2,) * 2, (width // 2,) * 2, (0, 0))), kernel)
    return output + (0 if bias is None else bias)
