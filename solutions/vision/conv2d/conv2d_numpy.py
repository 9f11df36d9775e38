"""Two-dimensional convolution, in NumPy.

An output row i reads the padded rows stride · i + dilation · k, and the columns do likewise. With these numbers as
index arrays, im2col is one gather and the convolution one product over taps and channels. The way back is the same
product turned round, and a scatter at the same index. The trap is that scatter: windows overlap, so a pixel gets the
sum of what all its windows send back, where `array[index] += …` would keep only the last.

In the products: n image, p output position, k tap, g group, c channel of the group, f filter of the group.
"""

import numpy as np

Pair = int | tuple[int, int]


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    if stride < 1 or dilation < 1 or padding < 0:
        raise ValueError(f"stride {stride} and dilation {dilation} start at one, padding {padding} at zero")
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        raise ValueError(f"a kernel of {kernel} with dilation {dilation} does not fit into {size} + 2·{padding} pixels")
    return room // stride + 1


def conv2d_direct(
    images: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    _check_channels(images, kernel, bias, groups)
    *taps, inputs, filters = kernel.shape
    rows, columns = _index(images, taps, stride, padding, dilation)
    padded, by_group = _pad(images, padding), kernel.reshape(*taps, inputs, groups, filters // groups)
    output = np.empty((len(images), len(rows), columns.shape[1], filters), images.dtype)
    for i, j in np.ndindex(output.shape[1:3]):
        window = padded[:, rows[i, 0], columns[0, j]].reshape(len(images), *taps, groups, inputs)
        output[:, i, j] = np.einsum("nklgc,klcgf->ngf", window, by_group).reshape(len(images), filters)
    return output if bias is None else output + bias


def im2col(
    images: np.ndarray, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> np.ndarray:
    rows, columns = _index(images, kernel_size, stride, padding, dilation)
    patches = _pad(images, padding)[:, rows, columns]
    batch, height, width, *patch = patches.shape
    return patches.reshape(batch, height * width, np.prod(patch))


def conv2d(
    images: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> np.ndarray:
    _check_channels(images, kernel, bias, groups)
    rows, columns = _index(images, kernel.shape[:2], stride, padding, dilation)
    patches, by_group = _factors(images, kernel, stride, padding, dilation, groups)
    output = np.einsum("npkgc,kcgf->npgf", patches, by_group, optimize=True)
    output = output.reshape(len(images), len(rows), columns.shape[1], kernel.shape[-1])
    return output if bias is None else output + bias


def conv2d_backward(
    gradient: np.ndarray,
    images: np.ndarray,
    kernel: np.ndarray,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = _index(images, kernel.shape[:2], stride, padding, dilation)
    patches, by_group = _factors(images, kernel, stride, padding, dilation, groups)
    to_output = gradient.reshape(*patches.shape[:2], *by_group.shape[2:])
    to_kernel = np.einsum("npkgc,npgf->kcgf", patches, to_output, optimize=True).reshape(kernel.shape)

    to_patches = np.einsum("npgf,kcgf->npkgc", to_output, by_group, optimize=True)
    to_padded = np.zeros_like(_pad(images, padding))
    windows = (len(rows), columns.shape[1], *kernel.shape[:2])
    np.add.at(to_padded, (slice(None), rows, columns), to_patches.reshape(len(images), *windows, images.shape[-1]))
    (top, left), (height, width) = _pair(padding), images.shape[1:3]
    to_images = to_padded[:, top : top + height, left : left + width]

    return to_images, to_kernel, gradient.sum(axis=(0, 1, 2))


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _pad(images: np.ndarray, padding: Pair) -> np.ndarray:
    vertical, horizontal = _pair(padding)
    return np.pad(images, ((0, 0), (vertical, vertical), (horizontal, horizontal), (0, 0)))


def _index(images: np.ndarray, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[np.ndarray]:
    """The padded rows and columns that each output position reads; together they broadcast to (i, j, k, l)."""
    settings = zip(images.shape[1:3], *map(_pair, (kernel_size, stride, padding, dilation)), strict=True)
    rows, columns = (
        stride * np.arange(output_size(size, kernel, stride, padding, dilation))[:, None] + dilation * np.arange(kernel)
        for size, kernel, stride, padding, dilation in settings
    )
    return [rows[:, None, :, None], columns[None, :, None, :]]


def _factors(images: np.ndarray, kernel: np.ndarray, stride: Pair, padding: Pair, dilation: Pair, groups: int):
    """The patches as (n, p, k, g, c) and the kernel as (k, c, g, f): convolution is their product over k and c."""
    height, width, inputs, filters = kernel.shape
    patches = im2col(images, (height, width), stride, padding, dilation)
    return (
        patches.reshape(*patches.shape[:2], height * width, groups, inputs),
        kernel.reshape(height * width, inputs, groups, filters // groups),
    )


def _check_channels(images: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None, groups: int) -> None:
    inputs, filters = kernel.shape[2:]
    if images.shape[-1] != groups * inputs or filters % groups:
        raise ValueError(f"{images.shape[-1]} channels do not fit {filters} filters of {inputs} in {groups} groups")
    if bias is not None and bias.shape != (filters,):
        raise ValueError(f"{filters} filters, but a bias of shape {bias.shape}")
