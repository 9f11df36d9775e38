"""Convolution as one contraction: tensors of zeros and ones say which pixel each tap of each window reads.

Padding needs no padding here: a tap that lies outside the image selects nothing.
"""

import tensorflow as tf

Pair = int | tuple[int, int]


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    if stride < 1 or dilation < 1 or padding < 0:
        raise ValueError("not a convolution")
    places = (size + 2 * padding - dilation * (kernel - 1) + stride - 1) // stride
    if places < 1:
        raise ValueError("the kernel does not fit")
    return places


def selections(images, kernel_size, stride, padding, dilation):
    """For rows and for columns, (outputs, taps, pixels): one where the output reads the pixel through the tap."""
    found = []
    for axis in (0, 1):
        kernel, step, border, gap = (
            value if isinstance(value, int) else value[axis] for value in (kernel_size, stride, padding, dilation)
        )
        size = images.shape[1 + axis]
        outputs = tf.range(output_size(size, kernel, step, border, gap))
        pixels = tf.expand_dims(outputs * step - border, 1) + tf.range(kernel) * gap
        found.append(tf.one_hot(pixels, size, dtype=images.dtype))
    return found


def conv2d_direct(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    require(images, kernel, bias, groups)
    rows, columns = selections(images, kernel.shape[:2], stride, padding, dilation)
    parts = []
    for part, filters in zip(tf.split(images, groups, axis=3), tf.split(kernel, groups, axis=3), strict=True):
        lines = []
        for row in tf.unstack(rows):
            line = [tf.einsum("nhwc,kh,lw,klcf->nf", part, row, column, filters) for column in tf.unstack(columns)]
            lines.append(tf.stack(line, axis=1))
        parts.append(tf.stack(lines, axis=1))
    output = tf.concat(parts, axis=3)
    return output if bias is None else tf.nn.bias_add(output, bias)


def im2col(images, kernel_size, stride=1, padding=0, dilation=1):
    rows, columns = selections(images, kernel_size, stride, padding, dilation)
    patches = tf.einsum("nhwc,ikh,jlw->nijklc", images, rows, columns)
    n, i, j, k, m, c = patches.shape
    return tf.reshape(patches, [n, i * j, k * m * c])


def grouped(images, kernel, groups):
    n, height, width, _ = images.shape
    k, m, inputs, filters = kernel.shape
    return (
        tf.reshape(images, [n, height, width, groups, inputs]),
        tf.reshape(kernel, [k, m, inputs, groups, filters // groups]),
    )


def conv2d(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    require(images, kernel, bias, groups)
    rows, columns = selections(images, kernel.shape[:2], stride, padding, dilation)
    split, filters = grouped(images, kernel, groups)
    output = tf.einsum("nhwgc,ikh,jlw,klcgf->nijgf", split, rows, columns, filters)
    output = tf.reshape(output, [images.shape[0], rows.shape[0], columns.shape[0], kernel.shape[3]])
    return output if bias is None else output + bias


def conv2d_backward(gradient, images, kernel, stride=1, padding=0, dilation=1, groups=1):
    rows, columns = selections(images, kernel.shape[:2], stride, padding, dilation)
    split, filters = grouped(images, kernel, groups)
    arriving = tf.reshape(gradient, [*gradient.shape[:3], groups, kernel.shape[3] // groups])
    to_images = tf.einsum("nijgf,ikh,jlw,klcgf->nhwgc", arriving, rows, columns, filters)
    to_kernel = tf.einsum("nijgf,ikh,jlw,nhwgc->klcgf", arriving, rows, columns, split)
    return (
        tf.reshape(to_images, images.shape),
        tf.reshape(to_kernel, kernel.shape),
        tf.einsum("nijf->f", gradient),
    )


def require(images, kernel, bias, groups):
    fits = images.shape[3] == kernel.shape[2] * groups and kernel.shape[3] % groups == 0
    if not fits or (bias is not None and bias.shape[0] != kernel.shape[3]):
        raise ValueError("the shapes do not fit")
