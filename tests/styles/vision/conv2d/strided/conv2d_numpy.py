"""Convolution over a sliding window view; the gradient of the images is a convolution with the flipped kernel."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Pair = int | tuple[int, int]


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    if stride <= 0 or dilation <= 0 or padding < 0:
        raise ValueError("stride and dilation must be positive, padding must not be negative")
    extent = dilation * (kernel - 1) + 1
    if extent > size + 2 * padding:
        raise ValueError("the kernel is larger than the padded image")
    return int(np.ceil((size + 2 * padding - extent + 1) / stride))


def view(images, kernel_size, stride, padding, dilation):
    """(batch, output height, output width, channel, kernel height, kernel width), without a copy."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = (
        np.broadcast_to(value, 2) for value in (kernel_size, stride, padding, dilation)
    )
    output_size(images.shape[1], kh, sh, ph, dh), output_size(images.shape[2], kw, sw, pw, dw)
    padded = np.pad(images, [(0, 0), (ph, ph), (pw, pw), (0, 0)])
    windows = sliding_window_view(padded, (dh * (kh - 1) + 1, dw * (kw - 1) + 1), axis=(1, 2))
    return windows[:, ::sh, ::sw, :, ::dh, ::dw]


def check(images, kernel, bias, groups):
    if images.shape[3] % groups or kernel.shape[3] % groups or images.shape[3] // groups != kernel.shape[2]:
        raise ValueError("channels, filters and groups do not agree")
    if bias is not None and len(bias) != kernel.shape[3]:
        raise ValueError("the bias must have an entry for each filter")


def conv2d_direct(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    check(images, kernel, bias, groups)
    windows = view(images, kernel.shape[:2], stride, padding, dilation)
    output = np.zeros((*windows.shape[:3], kernel.shape[3]), images.dtype)
    channels, filters = kernel.shape[2], kernel.shape[3] // groups
    for row in range(windows.shape[1]):
        for column in range(windows.shape[2]):
            for f in range(kernel.shape[3]):
                first = f // filters * channels
                window = windows[:, row, column, first : first + channels]
                output[:, row, column, f] = np.tensordot(window, kernel[..., f].transpose(2, 0, 1), 3)
    if bias is not None:
        output += bias
    return output


def im2col(images, kernel_size, stride=1, padding=0, dilation=1):
    windows = view(images, kernel_size, stride, padding, dilation).transpose(0, 1, 2, 4, 5, 3)
    n, oh, ow, kh, kw, c = windows.shape
    return windows.reshape(n, oh * ow, kh * kw * c)


def conv2d(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    check(images, kernel, bias, groups)
    windows = view(images, kernel.shape[:2], stride, padding, dilation)
    parts = [
        np.tensordot(part, weights, ((4, 5, 3), (0, 1, 2)))
        for part, weights in zip(np.split(windows, groups, axis=3), np.split(kernel, groups, axis=3), strict=True)
    ]
    output = np.concatenate(parts, axis=-1)
    return output if bias is None else output + bias


def conv2d_backward(gradient, images, kernel, stride=1, padding=0, dilation=1, groups=1):
    (sh, sw), (ph, pw), (dh, dw) = (np.broadcast_to(value, 2) for value in (stride, padding, dilation))
    kh, kw, inputs, filters = kernel.shape
    n, height, width, _ = images.shape
    windows = view(images, (kh, kw), stride, padding, dilation)
    to_kernel = np.concatenate(
        [
            np.tensordot(part, g, ((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3)
            for part, g in zip(np.split(windows, groups, axis=3), np.split(gradient, groups, axis=3), strict=True)
        ],
        axis=-1,
    )
    # Zeros between the gradients undo the stride, a border of the kernel's reach lets each tap look back.
    wide = np.zeros((n, height + 2 * ph + dh * (kh - 1), width + 2 * pw + dw * (kw - 1), filters), gradient.dtype)
    rows, columns = dh * (kh - 1), dw * (kw - 1)
    wide[:, rows : rows + sh * gradient.shape[1] : sh, columns : columns + sw * gradient.shape[2] : sw] = gradient
    turned = kernel[::-1, ::-1].reshape(kh, kw, inputs, groups, filters // groups)
    turned = turned.transpose(0, 1, 4, 3, 2).reshape(kh, kw, filters // groups, groups * inputs)
    to_padded = conv2d(wide, turned, dilation=(dh, dw), groups=groups)
    return to_padded[:, ph : ph + height, pw : pw + width], to_kernel, gradient.sum(axis=(0, 1, 2))
