"""Transposed convolution, in PyTorch.

Convolution by patches unfolds the image and multiplies by the kernel. The transpose does it backwards: one product
makes a copy of the kernel for every pixel, and fold lays the copies down, adding where they overlap. The trap is the
kernel's axes: its first one meets the channels that come in, where an ordinary convolution has those that go out.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

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
    (channels, filters), taps = kernel.shape[:2], kernel.shape[2:]
    if images.shape[1] != channels or (bias is not None and bias.shape != (filters,)):
        raise ValueError(f"images {tuple(images.shape)}, kernel {tuple(kernel.shape)} and bias do not fit")
    settings = zip(images.shape[2:], taps, *map(_pair, (stride, padding, output_padding)), strict=True)
    size = tuple(output_size(*setting) for setting in settings)

    copies = torch.einsum("ncp,cx->nxp", images.flatten(2), kernel.flatten(1))
    output = F.fold(copies, size, tuple(taps), stride=stride, padding=padding)
    return output if bias is None else output + bias[:, None, None]


def adjoint_gap(
    forward: Callable[[Tensor], Tensor], backward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor
) -> float:
    a, b = (forward(x) * y).sum().item(), (x * backward(y)).sum().item()
    return abs(a - b) / (max(abs(a), abs(b)) or 1)


def overlaps(size: int, kernel: int, stride: int = 1, padding: int = 0, output_padding: int = 0) -> list[int]:
    counts = [0] * (output_size(size, kernel, stride, padding, output_padding) + 2 * padding)
    for pixel in range(size):
        for tap in range(kernel):
            counts[pixel * stride + tap] += 1
    return counts[padding : len(counts) - padding]


def resize_conv2d(images: Tensor, kernel: Tensor, bias: Tensor | None = None, scale: int = 2) -> Tensor:
    height, width = kernel.shape[2:]
    if height % 2 == 0 or width % 2 == 0 or scale < 1:
        raise ValueError(f"the kernel's sizes {height}, {width} must be odd, and the scale {scale} one at least")
    large = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    return F.conv2d(large, kernel, bias, padding=(height // 2, width // 2))


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
