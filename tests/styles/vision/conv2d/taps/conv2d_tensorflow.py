"""Convolution tap by tap: each tap of the kernel sees one strided slice of the padded images."""

import tensorflow as tf

Pair = int | tuple[int, int]


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    if stride < 1 or padding < 0 or dilation < 1:
        raise ValueError(f"impossible: stride {stride}, padding {padding}, dilation {dilation}")
    places = len(range(size + 2 * padding)[dilation * (kernel - 1) :: stride])
    if places == 0:
        raise ValueError("no window fits")
    return places


def both(value):
    return (value, value) if isinstance(value, int) else value


def offsets(kernel_size, dilation):
    """The place of each tap in the window, tap row by tap row."""
    (kh, kw), (dh, dw) = both(kernel_size), both(dilation)
    return [(row * dh, column * dw) for row in range(kh) for column in range(kw)]


def sizes(images, kernel_size, stride, padding, dilation):
    return tuple(map(output_size, images.shape[1:3], both(kernel_size), both(stride), both(padding), both(dilation)))


def slices(images, kernel_size, stride, padding, dilation):
    """For each tap (batch, output height, output width, channel)."""
    oh, ow = sizes(images, kernel_size, stride, padding, dilation)
    (sh, sw), (ph, pw) = both(stride), both(padding)
    padded = tf.pad(images, [[0, 0], [ph, ph], [pw, pw], [0, 0]])
    return [
        padded[:, top : top + (oh - 1) * sh + 1 : sh, left : left + (ow - 1) * sw + 1 : sw]
        for top, left in offsets(kernel_size, dilation)
    ]


def validate(images, kernel, bias, groups):
    if kernel.shape[2] * groups != images.shape[3] or kernel.shape[3] % groups > 0:
        raise ValueError("channels")
    if bias is not None and bias.shape[0] != kernel.shape[3]:
        raise ValueError("bias")


def per_group(function, groups, *tensors):
    """The function of each group's share of the last axis, put side by side."""
    shares = zip(*(tf.split(tensor, groups, axis=-1) for tensor in tensors), strict=True)
    return tf.concat([function(*parts) for parts in shares], axis=-1)


def conv2d_direct(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    validate(images, kernel, bias, groups)

    def one_group(images, kernel):
        seen = slices(images, kernel.shape[:2], stride, padding, dilation)
        weights = [weight for row in tf.unstack(kernel) for weight in tf.unstack(row)]
        return tf.add_n([tf.tensordot(part, weight, 1) for part, weight in zip(seen, weights, strict=True)])

    output = per_group(one_group, groups, images, kernel)
    return output if bias is None else tf.nn.bias_add(output, bias)


def im2col(images, kernel_size, stride=1, padding=0, dilation=1):
    joined = tf.concat(slices(images, kernel_size, stride, padding, dilation), axis=3)
    return tf.reshape(joined, [joined.shape[0], joined.shape[1] * joined.shape[2], joined.shape[3]])


def conv2d(images, kernel, bias=None, stride=1, padding=0, dilation=1, groups=1):
    validate(images, kernel, bias, groups)

    def one_group(images, kernel):
        columns = im2col(images, kernel.shape[:2], stride, padding, dilation)
        return tf.matmul(columns, tf.reshape(kernel, [columns.shape[2], kernel.shape[3]]))

    output = per_group(one_group, groups, images, kernel)
    shape = images.shape[0], *sizes(images, kernel.shape[:2], stride, padding, dilation), kernel.shape[3]
    output = tf.reshape(output, shape)
    return output if bias is None else output + bias


def conv2d_backward(gradient, images, kernel, stride=1, padding=0, dilation=1, groups=1):
    (sh, sw), (ph, pw) = both(stride), both(padding)
    height, width = images.shape[1] + 2 * ph, images.shape[2] + 2 * pw
    taps = kernel.shape[0] * kernel.shape[1]

    def kernels(images, gradient):
        seen = slices(images, kernel.shape[:2], stride, padding, dilation)
        found = [tf.tensordot(part, gradient, [[0, 1, 2], [0, 1, 2]]) for part in seen]
        return tf.reshape(tf.stack(found), [*kernel.shape[:3], gradient.shape[3]])

    def spread(part, top, left):
        """Put the gradients of one tap where its strided slice took the pixels from."""
        n, oh, ow, c = part.shape
        part = tf.pad(
            tf.reshape(part, [n, oh, 1, ow, 1, c]), [[0, 0], [0, 0], [0, sh - 1], [0, 0], [0, sw - 1], [0, 0]]
        )
        part = tf.reshape(part, [n, oh * sh, ow * sw, c])[:, : height - top, : width - left]
        bottom, right = height - top - part.shape[1], width - left - part.shape[2]
        return tf.pad(part, [[0, 0], [top, bottom], [left, right], [0, 0]])

    def pixels(gradient, kernel):
        weights = tf.unstack(tf.reshape(kernel, [taps, *kernel.shape[2:]]))
        places = offsets(kernel.shape[:2], dilation)
        return tf.add_n(
            [spread(tf.tensordot(gradient, w, [[3], [1]]), *at) for w, at in zip(weights, places, strict=True)]
        )

    to_padded = per_group(pixels, groups, gradient, kernel)
    return (
        to_padded[:, ph : height - ph, pw : width - pw],
        per_group(kernels, groups, images, gradient),
        tf.reduce_sum(gradient, [0, 1, 2]),
    )
