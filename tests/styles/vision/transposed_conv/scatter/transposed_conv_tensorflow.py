"""Transposed convolution by numbers: every copy's entries are sent to the canvas by a sum over equal numbers."""

import numpy as np
import tensorflow as tf


def twice(value):
    return (value, value) if np.isscalar(value) else value


def canvas_size(size, kernel, stride, output_padding):
    return (size - 1) * stride + kernel + output_padding


def output_size(size, kernel, stride=1, padding=0, output_padding=0):
    if stride <= 0:
        raise ValueError("stride")
    if padding < 0:
        raise ValueError("padding")
    if output_padding not in range(stride):
        raise ValueError("output_padding")
    if canvas_size(size, kernel, stride, output_padding) <= 2 * padding:
        raise ValueError("all of it is cut off")
    return canvas_size(size, kernel, stride, output_padding) - 2 * padding


def transposed_conv2d(images, kernel, bias=None, stride=1, padding=0, output_padding=0):
    n, h, w, c = images.shape
    kh, kw, c_out, c_in = kernel.shape
    if c != c_in or (bias is not None and bias.shape[0] != c_out):
        raise ValueError("channels")
    stride, padding, extra = twice(stride), twice(padding), twice(output_padding)
    out_h = output_size(h, kh, stride[0], padding[0], extra[0])
    out_w = output_size(w, kw, stride[1], padding[1], extra[1])
    rows = canvas_size(h, kh, stride[0], extra[0])
    columns = canvas_size(w, kw, stride[1], extra[1])
    i, j, k, m = np.ix_(range(h), range(w), range(kh), range(kw))
    places = (i * stride[0] + k) * columns + j * stride[1] + m
    copies = tf.einsum("nijc,klfc->ijklnf", images, kernel)
    canvas = tf.math.unsorted_segment_sum(copies, places, rows * columns)
    canvas = tf.reshape(canvas, (rows, columns, n, c_out))
    output = tf.transpose(canvas[padding[0] :, padding[1] :][:out_h, :out_w], (2, 0, 1, 3))
    return output if bias is None else tf.nn.bias_add(output, bias)


def adjoint_gap(forward, backward, x, y):
    a = tf.tensordot(tf.reshape(forward(x), [-1]), tf.reshape(y, [-1]), 1).numpy()
    b = tf.tensordot(tf.reshape(x, [-1]), tf.reshape(backward(y), [-1]), 1).numpy()
    return float(tf.math.divide_no_nan(abs(a - b), max(abs(a), abs(b))))


def overlaps(size, kernel, stride=1, padding=0, output_padding=0):
    length = output_size(size, kernel, stride, padding, output_padding)
    starts = range(-padding, size * stride - padding, stride)
    return [sum(1 for start in starts if 0 <= place - start < kernel) for place in range(length)]


def resize_conv2d(images, kernel, bias=None, scale=2):
    if kernel.shape[0] % 2 != 1 or kernel.shape[1] % 2 != 1 or scale < 1:
        raise ValueError("kernel or scale")
    n, h, w, c = images.shape
    large = tf.broadcast_to(images[:, :, None, :, None], (n, h, scale, w, scale, c))
    large = tf.reshape(large, (n, h * scale, w * scale, c))
    result = tf.nn.convolution(large, kernel, padding="SAME")
    return result if bias is None else result + bias
