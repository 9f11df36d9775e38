"""Transposed convolution tap by tap: each adds the images, mixed by its matrix, to a strided view of the canvas."""

import itertools

import torch


def output_size(size, kernel, stride=1, padding=0, output_padding=0):
    if not (stride >= 1 and padding >= 0 and 0 <= output_padding < stride):
        raise ValueError("settings out of range")
    size = stride * (size - 1) + kernel + output_padding - 2 * padding
    if size < 1:
        raise ValueError("no output")
    return size


def transposed_conv2d(images, kernel, bias=None, stride=1, padding=0, output_padding=0):
    steps, cuts, extras = ([v, v] if isinstance(v, int) else list(v) for v in (stride, padding, output_padding))
    if images.size(1) != kernel.size(0):
        raise ValueError("channels")
    if bias is not None and bias.numel() != kernel.size(1):
        raise ValueError("bias")
    inner = [output_size(images.size(d + 2), kernel.size(d + 2), steps[d], cuts[d], extras[d]) for d in (0, 1)]
    canvas = images.new_zeros(images.size(0), kernel.size(1), inner[0] + 2 * cuts[0], inner[1] + 2 * cuts[1])
    for row, column in itertools.product(range(kernel.size(2)), range(kernel.size(3))):
        sent = torch.tensordot(images, kernel[:, :, row, column], dims=([1], [0])).movedim(-1, 1)
        view = canvas[:, :, row :: steps[0], column :: steps[1]]
        view[:, :, : images.size(2), : images.size(3)].add_(sent)
    output = canvas.narrow(2, cuts[0], inner[0]).narrow(3, cuts[1], inner[1])
    return output if bias is None else output + bias.view(-1, 1, 1)


def adjoint_gap(forward, backward, x, y):
    a, b = float(torch.sum(forward(x) * y)), float(torch.sum(backward(y) * x))
    return abs(a - b) / max(abs(a), abs(b)) if a or b else 0.0


def overlaps(size, kernel, stride=1, padding=0, output_padding=0):
    counts = torch.zeros(output_size(size, kernel, stride, padding, output_padding) + 2 * padding, dtype=torch.long)
    for tap in range(kernel):
        counts[tap::stride][:size] += 1
    return counts.tolist()[padding : counts.numel() - padding]


def resize_conv2d(images, kernel, bias=None, scale=2):
    if kernel.size(2) % 2 == 0 or kernel.size(3) % 2 == 0 or scale < 1:
        raise ValueError("kernel or scale")
    large = torch.nn.functional.interpolate(images, scale_factor=scale)
    layer = torch.nn.functional.pad(large, [kernel.size(3) // 2] * 2 + [kernel.size(2) // 2] * 2)
    return torch.conv2d(layer, kernel, bias)
