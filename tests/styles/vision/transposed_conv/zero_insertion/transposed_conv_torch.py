"""Transposed convolution as a convolution of the image with zeros between its pixels; counts by the same road."""

import torch
from torch import nn
from torch.nn import functional


def two(value):
    return tuple(value) if hasattr(value, "__len__") else (value,) * 2


def output_size(size, kernel, stride=1, padding=0, output_padding=0):
    if min(stride - 1, padding, output_padding, stride - 1 - output_padding) < 0:
        raise ValueError("stride, padding or output_padding out of range")
    result = stride * size - stride + kernel - padding - padding + output_padding
    if result <= 0:
        raise ValueError("nothing left")
    return result


def transposed_conv2d(images, kernel, bias=None, stride=1, padding=0, output_padding=0):
    stride, padding, extra = two(stride), two(padding), two(output_padding)
    (n, c, h, w), (c_in, c_out, kh, kw) = images.shape, kernel.shape
    if c != c_in:
        raise ValueError(f"{c} channels for a kernel of {c_in}")
    if bias is not None and len(bias) != c_out:
        raise ValueError(f"{len(bias)} biases for {c_out} channels")
    for axis, k in enumerate((kh, kw)):
        output_size(images.shape[2 + axis], k, stride[axis], padding[axis], extra[axis])
    sparse = images.new_zeros(n, c, (h - 1) * stride[0] + 1, (w - 1) * stride[1] + 1)
    sparse[:, :, :: stride[0], :: stride[1]] = images
    around = kw - 1 - padding[1], kw - 1 - padding[1] + extra[1], kh - 1 - padding[0], kh - 1 - padding[0] + extra[0]
    return functional.conv2d(functional.pad(sparse, around), kernel.flip(2, 3).transpose(0, 1), bias)


def adjoint_gap(forward, backward, x, y):
    a = torch.dot(forward(x).flatten(), y.flatten())
    b = torch.dot(x.flatten(), backward(y).flatten())
    largest = torch.maximum(a.abs(), b.abs())
    return torch.where(largest > 0, (a - b).abs() / largest, 0).item()


def overlaps(size, kernel, stride=1, padding=0, output_padding=0):
    output_size(size, kernel, stride, padding, output_padding)
    ones = torch.ones(1, 1, size, 1), torch.ones(1, 1, kernel, 1)
    counts = transposed_conv2d(*ones, None, (stride, 1), (padding, 0), (output_padding, 0))
    return counts.flatten().round().int().tolist()


def resize_conv2d(images, kernel, bias=None, scale=2):
    if scale < 1 or not all(side % 2 for side in kernel.shape[2:]):
        raise ValueError("an odd kernel and a positive scale")
    return functional.conv2d(nn.UpsamplingNearest2d(scale_factor=scale)(images), kernel, bias, padding="same")
