"""Convolution as one contraction: a tensor of zeros and ones says which pixel each tap of each window reads.

Padding needs no padding here: a tap that lies outside the image selects nothing.
"""

import torch
from torch import Tensor

Pair = int | tuple[int, int]


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    if stride < 1 or dilation < 1 or padding < 0:
        raise ValueError("not a convolution")
    places = (size + 2 * padding - dilation * (kernel - 1) + stride - 1) // stride
    if places < 1:
        raise ValueError("the kernel does not fit")
    return places


def selected(size: int, like: Tensor, *arguments) -> Tensor:
    """(outputs, taps, pixels): one where the output reads the pixel through the tap."""
    kernel, stride, padding, dilation = arguments
    outputs = torch.arange(output_size(size, *arguments), device=like.device)
    taps = torch.arange(kernel, device=like.device)
    pixel = outputs[:, None] * stride + taps * dilation - padding
    return (pixel[..., None] == torch.arange(size, device=like.device)).to(like.dtype)


def selections(images, kernel_size, stride, padding, dilation):
    def pick(value, axis):
        return value if isinstance(value, int) else value[axis]

    return [
        selected(images.shape[2 + axis], images, *(pick(v, axis) for v in (kernel_size, stride, padding, dilation)))
        for axis in (0, 1)
    ]


def conv2d_direct(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    require(images, kernel, bias, groups)
    rows, columns = selections(images, kernel.shape[2:], stride, padding, dilation)
    per_group = kernel.shape[0] // groups
    result = images.new_zeros(images.shape[0], kernel.shape[0], len(rows), len(columns))
    for f in range(kernel.shape[0]):
        first = f // per_group * kernel.shape[1]
        for i in range(len(rows)):
            for j in range(len(columns)):
                window = rows[i] @ images[:, first : first + kernel.shape[1]] @ columns[j].T
                result[:, f, i, j] = (window * kernel[f]).sum((1, 2, 3))
        if bias is not None:
            result[:, f] += bias[f]
    return result


def im2col(images, kernel_size, stride=1, padding=0, dilation=1):
    rows, columns = selections(images, kernel_size, stride, padding, dilation)
    patches = torch.einsum("nchw,ikh,jlw->ncklij", images, rows, columns)
    return patches.flatten(4).flatten(1, 3)


def conv2d(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    require(images, kernel, bias, groups)
    rows, columns = selections(images, kernel.shape[2:], stride, padding, dilation)
    split = images.unflatten(1, (groups, kernel.shape[1]))
    filters = kernel.unflatten(0, (groups, kernel.shape[0] // groups))
    output = torch.einsum("ngchw,ikh,jlw,gfckl->ngfij", split, rows, columns, filters).flatten(1, 2)
    return output if bias is None else output + bias[None, :, None, None]


def conv2d_backward(gradient, images, kernel, stride=1, padding=0, dilation=1, groups=1):
    rows, columns = selections(images, kernel.shape[2:], stride, padding, dilation)
    split = images.unflatten(1, (groups, kernel.shape[1]))
    filters = kernel.unflatten(0, (groups, kernel.shape[0] // groups))
    arriving = gradient.unflatten(1, (groups, kernel.shape[0] // groups))
    to_images = torch.einsum("ngfij,ikh,jlw,gfckl->ngchw", arriving, rows, columns, filters)
    to_kernel = torch.einsum("ngfij,ikh,jlw,ngchw->gfckl", arriving, rows, columns, split)
    return to_images.flatten(1, 2), to_kernel.flatten(0, 1), torch.einsum("nfij->f", gradient)


def require(images, kernel, bias, groups):
    fits = images.shape[1] == kernel.shape[1] * groups and kernel.shape[0] % groups == 0
    if not fits or (bias is not None and bias.shape[0] != kernel.shape[0]):
        raise ValueError("the shapes do not fit")
