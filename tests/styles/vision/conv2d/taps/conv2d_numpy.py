"""Convolution tap by tap: each tap of the kernel sees one strided slice of the padded images."""

import numpy as np

Pair = int | tuple[int, int]


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    if stride < 1 or padding < 0 or dilation < 1:
        raise ValueError(f"impossible: stride {stride}, padding {padding}, dilation {dilation}")
    places = len(range(size + 2 * padding)[dilation * (kernel - 1) :: stride])
    if places == 0:
        raise ValueError("no window fits")
    return places


class Geometry:
    """The sizes of one convolution, and the slice that belongs to each tap."""

    def __init__(self, images, kernel_size, stride, padding, dilation):
        self.kernel, self.stride, self.padding, self.dilation = (
            (v, v) if np.isscalar(v) else v for v in (kernel_size, stride, padding, dilation)
        )
        self.size = images.shape[1:3]
        self.padded = tuple(s + 2 * p for s, p in zip(self.size, self.padding, strict=True))
        self.output = tuple(map(output_size, self.size, self.kernel, self.stride, self.padding, self.dilation))

    def taps(self):
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                yield row, column, (slice(None), self._slice(0, row), self._slice(1, column))

    def _slice(self, axis, tap):
        first = tap * self.dilation[axis]
        return slice(first, first + (self.output[axis] - 1) * self.stride[axis] + 1, self.stride[axis])

    @property
    def inside(self):
        return (slice(None), *(slice(p, p + s) for p, s in zip(self.padding, self.size, strict=True)))

    def pad(self, images):
        padded = np.zeros((images.shape[0], *self.padded, images.shape[3]), images.dtype)
        padded[self.inside] = images
        return padded


def validate(images, kernel, bias, groups):
    if kernel.shape[2] * groups != images.shape[3] or kernel.shape[3] % groups > 0:
        raise ValueError("channels")
    if bias is not None and bias.shape[0] != kernel.shape[3]:
        raise ValueError("bias")


def conv2d_direct(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    validate(images, kernel, bias, groups)
    g = Geometry(images, kernel.shape[:2], stride, padding, dilation)
    padded = g.pad(images)
    output = np.zeros((images.shape[0], *g.output, kernel.shape[3]), images.dtype)
    for f in range(kernel.shape[3]):
        group = f // (kernel.shape[3] // groups)
        for c in range(kernel.shape[2]):
            for row, column, window in g.taps():
                output[..., f] += padded[window][..., group * kernel.shape[2] + c] * kernel[row, column, c, f]
        if bias is not None:
            output[..., f] += bias[f]
    return output


def im2col(images, kernel_size, stride=1, padding=0, dilation=1):
    g = Geometry(images, kernel_size, stride, padding, dilation)
    padded = g.pad(images)
    stacked = np.concatenate([padded[window] for _, _, window in g.taps()], axis=-1)
    return stacked.reshape(stacked.shape[0], g.output[0] * g.output[1], stacked.shape[3])


def conv2d(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    validate(images, kernel, bias, groups)
    g = Geometry(images, kernel.shape[:2], stride, padding, dilation)
    size = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    outputs = []
    for part, filters in zip(np.split(images, groups, axis=3), np.split(kernel, groups, axis=3), strict=True):
        outputs.append(im2col(part, kernel.shape[:2], stride, padding, dilation) @ filters.reshape(size, -1))
    output = np.concatenate(outputs, axis=2).reshape(images.shape[0], *g.output, kernel.shape[3])
    if bias is not None:
        output = output + bias
    return output


def conv2d_backward(gradient, images, kernel, stride=1, padding=0, dilation=1, groups=1):
    g = Geometry(images, kernel.shape[:2], stride, padding, dilation)
    padded = g.pad(images)
    to_padded, to_kernel = np.zeros_like(padded), np.empty_like(kernel)
    inputs, filters = kernel.shape[2], kernel.shape[3] // groups
    for group in range(groups):
        c, f = slice(group * inputs, (group + 1) * inputs), slice(group * filters, (group + 1) * filters)
        for row, column, window in g.taps():
            to_padded[window][..., c] += gradient[..., f] @ kernel[row, column, :, f].T
            to_kernel[row, column, :, f] = np.tensordot(
                padded[window][..., c], gradient[..., f], ([0, 1, 2], [0, 1, 2])
            )
    return to_padded[g.inside], to_kernel, np.einsum("nijf->f", gradient)
