"""Convolution over torch's unfolding view; the gradient of the images is a convolution with the flipped kernel."""

import torch
from torch import Tensor, nn

Pair = int | tuple[int, int]


def two(value):
    return tuple(value) if isinstance(value, tuple | list | torch.Size) else (value, value)


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    if min(stride, dilation) < 1 or padding < 0:
        raise ValueError("stride and dilation must be positive, padding must not be negative")
    if size + 2 * padding <= dilation * (kernel - 1):
        raise ValueError("the kernel is larger than the padded image")
    return 1 + (size + 2 * padding - dilation * (kernel - 1) - 1) // stride


def windows(images: Tensor, kernel_size, stride, padding, dilation) -> Tensor:
    """(batch, channel, output height, output width, kernel height, kernel width), a view of the padded images."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = map(two, (kernel_size, stride, padding, dilation))
    output_size(images.shape[2], kh, sh, ph, dh), output_size(images.shape[3], kw, sw, pw, dw)
    padded = nn.functional.pad(images, (pw, pw, ph, ph))
    view = padded.unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)
    return view[..., ::dh, ::dw]


def check(images, kernel, bias, groups):
    if images.shape[1] != groups * kernel.shape[1]:
        raise ValueError("the channels do not fit")
    if kernel.shape[0] % groups != 0:
        raise ValueError("the filters do not fit the groups")
    if bias is not None and bias.numel() != kernel.shape[0]:
        raise ValueError("the bias does not fit")


def conv2d_direct(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    check(images, kernel, bias, groups)
    view = windows(images, kernel.shape[2:], stride, padding, dilation)
    rows = []
    for row in range(view.shape[2]):
        outputs = []
        for column in range(view.shape[3]):
            parts = zip(view[:, :, row, column].chunk(groups, dim=1), kernel.chunk(groups), strict=True)
            outputs.append(torch.cat([torch.tensordot(part, f, ([1, 2, 3], [1, 2, 3])) for part, f in parts], dim=1))
        rows.append(torch.stack(outputs, dim=-1))
    output = torch.stack(rows, dim=-2)
    return output if bias is None else output + bias.view(1, -1, 1, 1)


def im2col(images, kernel_size, stride=1, padding=0, dilation=1):
    view = windows(images, kernel_size, stride, padding, dilation).permute(0, 1, 4, 5, 2, 3)
    n, c, kh, kw, oh, ow = view.shape
    return view.reshape(n, c * kh * kw, oh * ow)


def conv2d(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    check(images, kernel, bias, groups)
    view = windows(images, kernel.shape[2:], stride, padding, dilation)
    n, oh, ow = images.shape[0], view.shape[2], view.shape[3]
    columns = im2col(images, kernel.shape[2:], stride, padding, dilation)
    columns = columns.reshape(n, groups, columns.shape[1] // groups, oh * ow)
    filters = kernel.reshape(groups, kernel.shape[0] // groups, columns.shape[2])
    output = torch.matmul(filters, columns).reshape(n, kernel.shape[0], oh, ow)
    return output if bias is None else output + bias.reshape(-1, 1, 1)


def conv2d_backward(gradient, images, kernel, stride=1, padding=0, dilation=1, groups=1):
    (sh, sw), (ph, pw), (dh, dw) = map(two, (stride, padding, dilation))
    filters, _, kh, kw = kernel.shape
    n, _, height, width = images.shape
    view = windows(images, (kh, kw), stride, padding, dilation)
    parts = zip(view.chunk(groups, dim=1), gradient.chunk(groups, dim=1), strict=True)
    to_kernel = torch.cat([torch.tensordot(g, part, ([0, 2, 3], [0, 2, 3])) for part, g in parts])
    top, left = dh * (kh - 1), dw * (kw - 1)
    spread = gradient.new_zeros(n, filters, height + 2 * ph + top, width + 2 * pw + left)
    spread[:, :, top : top + sh * gradient.shape[2] : sh, left : left + sw * gradient.shape[3] : sw] = gradient
    turned = kernel.flip(2, 3).unflatten(0, (groups, filters // groups)).transpose(1, 2).flatten(0, 1)
    to_padded = conv2d(spread, turned, dilation=dilation, groups=groups)
    return to_padded[:, :, ph : ph + height, pw : pw + width], to_kernel, gradient.sum(3).sum(2).sum(0)
