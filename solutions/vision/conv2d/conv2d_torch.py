"""Two-dimensional convolution, in PyTorch.

An output row i reads the padded rows stride · i + dilation · k, and the columns do likewise. With these numbers as
index tensors, im2col is one gather and the convolution one product over channels and taps. The way back is the same
product turned round, and a scatter at the same index. The trap is that scatter: windows overlap, so a pixel gets the
sum of what all its windows send back, hence accumulate=True.

In the products: n image, g group, c channel of the group with its taps, f filter of the group, p output position.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

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
    rows, columns = _index(images, kernel.shape[2:], stride, padding, dilation)
    padded, by_group = _pad(images, padding), kernel.unflatten(0, (groups, -1))
    output = images.new_empty(len(images), len(kernel), rows.shape[2], columns.shape[3])
    for i in range(output.shape[2]):
        for j in range(output.shape[3]):
            window = padded[:, :, rows[:, :, i, 0], columns[:, :, 0, j]].unflatten(1, (groups, -1))
            output[:, :, i, j] = torch.einsum("ngckl,gfckl->ngf", window, by_group).flatten(1)
    return output if bias is None else output + bias[:, None, None]


def im2col(images: Tensor, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> Tensor:
    rows, columns = _index(images, kernel_size, stride, padding, dilation)
    return _pad(images, padding)[:, :, rows, columns].flatten(1, 3).flatten(2)


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
    rows, columns = _index(images, kernel.shape[2:], stride, padding, dilation)
    patches = im2col(images, kernel.shape[2:], stride, padding, dilation).unflatten(1, (groups, -1))
    by_group = kernel.flatten(1).unflatten(0, (groups, -1))
    output = torch.einsum("ngcp,gfc->ngfp", patches, by_group)
    output = output.flatten(1, 2).unflatten(2, (rows.shape[2], columns.shape[3]))
    return output if bias is None else output + bias[:, None, None]


def conv2d_backward(
    gradient: Tensor,
    images: Tensor,
    kernel: Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, columns = _index(images, kernel.shape[2:], stride, padding, dilation)
    patches = im2col(images, kernel.shape[2:], stride, padding, dilation).unflatten(1, (groups, -1))
    by_group = kernel.flatten(1).unflatten(0, (groups, -1))
    to_output = gradient.flatten(2).unflatten(1, (groups, -1))
    to_kernel = torch.einsum("ngcp,ngfp->gfc", patches, to_output).reshape(kernel.shape)

    to_patches = torch.einsum("ngfp,gfc->ngcp", to_output, by_group)
    to_patches = to_patches.reshape(*images.shape[:2], *kernel.shape[2:], *gradient.shape[2:])
    to_padded = torch.zeros_like(_pad(images, padding))
    to_padded.movedim((2, 3), (0, 1)).index_put_((rows, columns), to_patches.movedim((0, 1), (4, 5)), accumulate=True)
    (top, left), (height, width) = _pair(padding), images.shape[2:]
    to_images = to_padded[:, :, top : top + height, left : left + width]

    return to_images, to_kernel, gradient.sum(dim=(0, 2, 3))


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _pad(images: Tensor, padding: Pair) -> Tensor:
    vertical, horizontal = _pair(padding)
    return F.pad(images, (horizontal, horizontal, vertical, vertical))


def _index(images: Tensor, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> tuple[Tensor, Tensor]:
    """The padded rows and columns that each output position reads; together they broadcast to (k, l, i, j)."""
    settings = zip(images.shape[2:], *map(_pair, (kernel_size, stride, padding, dilation)), strict=True)
    rows, columns = (
        dilation * torch.arange(kernel, device=images.device)[:, None]
        + stride * torch.arange(output_size(size, kernel, stride, padding, dilation), device=images.device)
        for size, kernel, stride, padding, dilation in settings
    )
    return rows[:, None, :, None], columns[None, :, None, :]


def _check_channels(images: Tensor, kernel: Tensor, bias: Tensor | None, groups: int) -> None:
    filters, inputs = kernel.shape[:2]
    if images.shape[1] != groups * inputs or filters % groups:
        raise ValueError(f"{images.shape[1]} channels do not fit {filters} filters of {inputs} in {groups} groups")
    if bias is not None and bias.shape != (filters,):
        raise ValueError(f"{filters} filters, but a bias of shape {tuple(bias.shape)}")
