"""Levels of the transposed convolution kata.

Every expected value comes from loops over pixels in float64 NumPy, `spread` and `convolved`. Images are (batch, height,
width, channel), kernels (height, width, out channels, in channels), and handed over in the framework's own layout.
"""

from functools import partial
from itertools import product

import numpy as np
import pytest

from dojo import level

sizes = level(1, "sizes")
copies_added = level(2, "spread", points=2)
stride_padding = level(3, "stride and padding", points=3)
adjoint = level(4, "adjoint", points=2)
checkerboard = level(5, "checkerboard", points=2)
gradients = level(6, "gradients", points=2, autograd=True)
any_input = level(7, "any input")

# Shape of the images, shape of the kernel, and the arguments.
AT_STRIDE_ONE = {
    "plain": ((2, 4, 3, 3), (2, 3, 4, 3), {}),
    "square": ((2, 3, 4, 2), (3, 3, 2, 2), {}),
    "pointwise": ((2, 4, 3, 3), (1, 1, 2, 3), {}),
    "one_pixel": ((3, 1, 1, 2), (4, 3, 3, 2), {}),
    "tiny": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
}
ANYHOW = {
    "stride": ((2, 4, 3, 2), (3, 4, 3, 2), {"stride": (2, 3)}),
    "gaps": ((2, 3, 4, 2), (2, 1, 3, 2), {"stride": (3, 2)}),
    "padding": ((1, 4, 5, 2), (3, 5, 2, 2), {"padding": (1, 2)}),
    "cut_deep": ((2, 4, 5, 2), (2, 1, 1, 2), {"stride": 2, "padding": (2, 1)}),
    "output_padding": ((2, 3, 4, 2), (3, 2, 3, 2), {"stride": (2, 3), "output_padding": (1, 2)}),
    "all": ((2, 4, 3, 2), (3, 4, 3, 2), {"stride": (2, 3), "padding": (1, 2), "output_padding": (0, 2)}),
    "one_number": ((2, 3, 4, 2), (3, 3, 2, 2), {"stride": 2, "padding": 1, "output_padding": 1}),
}
IMPOSSIBLE = {  # of 4 pixels with a kernel of 3
    "no_stride": {"stride": 0},
    "backwards": {"stride": -1},
    "adding": {"padding": -1},
    "shorter": {"stride": 2, "output_padding": -1},
    "too_long": {"output_padding": 1},
    "too_long_at_stride_2": {"stride": 2, "output_padding": 2},
    "all_cut": {"padding": 3},
    "more_than_all": {"padding": 4},
}
AXES = [  # size, kernel, stride, padding, output padding: all that leave a pixel
    setting
    for setting in product(range(1, 6), range(1, 6), range(1, 5), range(3), range(4))
    if setting[4] < setting[2] and (setting[0] - 1) * setting[2] + setting[1] + setting[4] > 2 * setting[3]
]


def pair(value):
    return (value, value) if isinstance(value, int) else value


def cut(canvas, padding):
    top, left = pair(padding)
    return canvas[:, top : canvas.shape[1] - top, left : canvas.shape[2] - left]


def spread(images, kernel, bias=None, stride=1, padding=0, output_padding=0):
    """A copy of the kernel for each pixel, pixel by pixel."""
    (down, across), (bottom, right) = pair(stride), pair(output_padding)
    (batch, rows, columns, _), (height, width, filters, _) = images.shape, kernel.shape
    canvas = np.zeros((batch, (rows - 1) * down + height + bottom, (columns - 1) * across + width + right, filters))
    for i, j in np.ndindex(rows, columns):
        copy = np.einsum("nc,klfc->nklf", images[:, i, j], kernel)
        canvas[:, i * down : i * down + height, j * across : j * across + width] += copy
    output = cut(canvas, padding)
    return output if bias is None else output + bias


def convolved(images, kernel, places, stride=1, padding=0):
    """The convolution, window by window, at as many places as asked; its kernel maps axis 2 to axis 3."""
    (down, across), (top, left) = pair(stride), pair(padding)
    wide = np.pad(images, ((0, 0), (top, top), (left, left), (0, 0)))
    output = np.zeros((len(images), *places, kernel.shape[-1]))
    for i, j in np.ndindex(*places):
        window = wide[:, i * down : i * down + kernel.shape[0], j * across : j * across + kernel.shape[1]]
        output[:, i, j] = np.einsum("nklf,klfc->nc", window, kernel)
    return output


def counted(size, kernel, stride=1, padding=0, output_padding=0):
    """Copies of the kernel that reach each output pixel of one axis."""
    ends = range(padding, (size - 1) * stride + kernel + output_padding - padding)
    return [sum(start <= place < start + kernel for start in range(0, size * stride, stride)) for place in ends]


def in_words(size, kernel, stride, padding, output_padding):
    return f"size {size}, kernel {kernel}, stride {stride}, padding {padding}, output padding {output_padding}"


def enlarged(images, kernel, bias, scale):
    """kernel (height, width, in channels, out channels)."""
    height, width = kernel.shape[:2]
    large = np.kron(images, np.ones((1, scale, scale, 1)))
    return convolved(large, kernel, large.shape[1:3], padding=(height // 2, width // 2)) + bias


def drawn(rng, setting):
    images, kernel, arguments = setting
    return rng.standard_normal(images), rng.standard_normal(kernel), rng.standard_normal(kernel[2]), arguments


def tensors(fw, images, kernel, *rest, dtype=None):
    return [fw.array(array, dtype) for array in (fw.own_layout(images), fw.own_kernel(kernel), *rest)]


def check(impl, fw, arrays, arguments, dtype=None, of="output"):
    output = impl.transposed_conv2d(*tensors(fw, *arrays, dtype=dtype), **arguments)
    fw.close(output, fw.own_layout(spread(*arrays, **arguments)), of, dtype)


def check_gradients(fw, f, formula, *arrays):
    """The gradients through f(images, kernel, bias) are those of the formula."""

    def by_hand(images, kernel, bias):
        return fw.own_layout(formula(fw.common_layout(images), fw.common_kernel(kernel), bias))

    images, kernel, bias = arrays
    fw.check_gradients(f, by_hand, [fw.own_layout(images), fw.own_kernel(kernel), bias], ("images", "kernel", "bias"))


def settings(*tables):
    named = {name: setting for table in tables for name, setting in table.items()}
    return pytest.mark.parametrize("setting", named.values(), ids=named)


@sizes
def test_the_size_is_what_is_left_of_the_canvas(impl):
    for setting in AXES:
        expected, found = len(counted(*setting)), impl.output_size(*setting)
        assert found == expected, f"{in_words(*setting)}: {expected} pixels are left, output_size says {found}"
    assert impl.output_size(5, 3) == 7, f"by default 5 pixels and 3 taps make 7, not {impl.output_size(5, 3)}"


@sizes
@pytest.mark.parametrize("wrong", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_size_that_cannot_be_is_refused(impl, wrong):
    with pytest.raises(ValueError):
        impl.output_size(4, 3, **wrong)


@copies_added
@settings(AT_STRIDE_ONE)
def test_copies_of_the_kernel_are_added_where_they_overlap(impl, fw, rng, setting):
    *arrays, _ = drawn(rng, setting)
    check(impl, fw, arrays[:2], {}, of="output without bias")
    check(impl, fw, arrays, {})


@copies_added
@pytest.mark.parametrize(
    ("channels", "bias"), [(4, 3), (3, 2), (2, 4), (2, 1)], ids=["channels", "swapped", "long_bias", "short_bias"]
)
def test_channels_that_do_not_fit_are_refused(impl, fw, rng, channels, bias):
    arrays = rng.standard_normal((1, 4, 4, channels)), rng.standard_normal((2, 2, 3, 2)), rng.standard_normal(bias)
    with pytest.raises(ValueError):
        impl.transposed_conv2d(*tensors(fw, *arrays))


@stride_padding
@settings(ANYHOW)
def test_stride_padding_and_output_padding(impl, fw, rng, setting):
    *arrays, arguments = drawn(rng, setting)
    check(impl, fw, arrays[:2], arguments, of="output without bias")
    check(impl, fw, arrays, arguments)


def torch_layer(images, kernel, bias, shape, **arguments):
    from torch.nn.functional import conv_transpose2d

    return conv_transpose2d(images, kernel, bias, **arguments)


def tensorflow_layer(images, kernel, bias, shape, stride=1, padding=0, output_padding=0):
    import tensorflow as tf

    border = [[0, 0], *([side, side] for side in pair(padding)), [0, 0]]
    return tf.nn.conv2d_transpose(images, kernel, shape, pair(stride), border) + bias


OFFICIAL = {"torch": torch_layer, "tensorflow": tensorflow_layer}


@stride_padding(autograd=True)
@settings(ANYHOW)
def test_the_official_layer_agrees(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)
    arrays = tensors(fw, images, kernel, bias)
    shape = spread(images, kernel, bias, **arguments).shape
    expected = fw.numpy(OFFICIAL[fw.name](*arrays, shape, **arguments))
    fw.close(impl.transposed_conv2d(*arrays, **arguments), expected, of="output", atol=1e-4)


@stride_padding
@pytest.mark.parametrize("wrong", [{"stride": (1, 0)}, {"padding": (0, 3)}], ids=["no_stride", "all_cut"])
def test_a_layer_that_cannot_be_is_refused(impl, fw, rng, wrong):
    arrays = tensors(fw, rng.standard_normal((1, 5, 4, 2)), rng.standard_normal((2, 3, 1, 2)))
    with pytest.raises(ValueError):
        impl.transposed_conv2d(*arrays, **wrong)


@adjoint
def test_the_gap_between_two_dot_products(impl, fw, rng):
    x, y = rng.standard_normal((3, 4)), rng.standard_normal((3, 5))
    matrix, other = rng.standard_normal((4, 5)), rng.standard_normal((5, 4))
    x_tensor, y_tensor, matrix_tensor, other_tensor = (fw.array(array, "float64") for array in (x, y, matrix, other))
    for first, second in ((1, 1), (-1, 1), (1e-3, 1), (1, 1e-3), (1e-6, 1e-6)):  # either may be larger, both tiny
        a, b = first * np.sum(x @ matrix * y), second * np.sum(y @ other * x)
        forward, backward = first * matrix_tensor, second * other_tensor
        found = impl.adjoint_gap(lambda x, m=forward: x @ m, lambda y, m=backward: y @ m, x_tensor, y_tensor)
        assert isinstance(found, float), f"adjoint_gap should be a Python float, not {type(found).__name__}"
        expected = abs(a - b) / max(abs(a), abs(b))
        told = f"the dot products are {a:.6g} and {b:.6g}, so the gap is {expected:.6g}"
        assert np.isclose(found, expected), f"{told}; adjoint_gap says {found:.6g}"


@adjoint
def test_where_both_dot_products_are_zero_there_is_no_gap(impl, fw, rng):
    x, y = fw.array(rng.standard_normal((3, 4))), fw.array(rng.standard_normal((3, 4)))
    found = impl.adjoint_gap(lambda x: 0 * x, lambda y: 0 * y, x, y)
    assert found == 0, f"both dot products are zero: the gap is 0, not {found}"


@adjoint
@settings(AT_STRIDE_ONE, ANYHOW)
def test_it_is_the_transpose_of_the_convolution(impl, fw, rng, setting):
    """⟨convolution(x), y⟩ = ⟨x, transposed convolution(y)⟩: the convolution is NumPy's, window by window."""
    images, kernel, _, arguments = drawn(rng, setting)
    x = rng.standard_normal(spread(images, kernel, **arguments).shape)
    border = {name: arguments[name] for name in ("stride", "padding") if name in arguments}

    def forward(tensor):
        return fw.images(convolved(fw.images_numpy(tensor), kernel, images.shape[1:3], **border), "float64")

    def backward(tensor):
        return impl.transposed_conv2d(tensor, kernel_tensor, **arguments)

    y, kernel_tensor = tensors(fw, images, kernel, dtype="float64")
    gap = impl.adjoint_gap(forward, backward, fw.images(x, "float64"), y)
    assert gap < 1e-9, f"⟨convolution(x), y⟩ and ⟨x, transposed convolution(y)⟩ should be equal; the gap is {gap:.3g}"


@checkerboard
def test_how_many_copies_reach_a_pixel(impl):
    for setting in AXES:
        found = impl.overlaps(*setting)
        assert isinstance(found, list), f"overlaps should be a list of numbers, not a {type(found).__name__}"
        told = f"{in_words(*setting)}: {counted(*setting)} copies reach the pixels"
        assert list(map(int, found)) == counted(*setting), f"{told}; overlaps says {found}"
    found = list(map(int, impl.overlaps(4, 3)))
    assert found == [1, 2, 3, 3, 2, 1], f"by default 4 pixels and 3 taps give 1, 2, 3, 3, 2, 1 copies, not {found}"
    with pytest.raises(ValueError):
        impl.overlaps(4, 3, stride=2, padding=5)


@checkerboard
@pytest.mark.parametrize(
    ("shape", "taps", "scale"),
    [((2, 3, 4, 2), (5, 7), 2), ((1, 2, 3, 3), (1, 3), 3), ((2, 4, 1, 2), (3, 3), 1)],
    ids=["twice", "three_times", "kept"],
)
def test_each_pixel_is_repeated_and_then_convolved(impl, fw, rng, shape, taps, scale):
    images, bias, kernel = map(rng.standard_normal, (shape, 4, (*taps, shape[-1], 4)))
    expected = fw.own_layout(enlarged(images, kernel, bias, scale))
    fw.close(impl.resize_conv2d(*tensors(fw, images, kernel, bias), scale), expected, of="output")
    without = fw.own_layout(enlarged(images, kernel, 0, 2))
    fw.close(impl.resize_conv2d(*tensors(fw, images, kernel)), without, of="output by default, twice as large")


@checkerboard
@pytest.mark.parametrize(("taps", "scale"), [((4, 3), 2), ((3, 2), 2), ((3, 3), 0)], ids=["high", "wide", "gone"])
def test_enlarging_by_what_cannot_be_is_refused(impl, fw, rng, taps, scale):
    arrays = tensors(fw, rng.standard_normal((1, 3, 3, 2)), rng.standard_normal((*taps, 2, 2)))
    with pytest.raises(ValueError):
        impl.resize_conv2d(*arrays, scale=scale)


@checkerboard
def test_the_checkerboard_measured(impl, fw):
    """A grey image through a kernel of ones: how much brighter is the brightest inner pixel than the darkest?

    Four times with 3 taps at stride 2, which 2 does not divide; not at all with 4 taps, nor with repeated pixels.
    """
    grey, three, four = np.ones((1, 8, 8, 1)), np.ones((3, 3, 1, 1)), np.ones((4, 4, 1, 1))
    for name, output, expected in (
        ("3 taps at stride 2", impl.transposed_conv2d(*tensors(fw, grey, three), stride=2), 4),
        ("4 taps at stride 2", impl.transposed_conv2d(*tensors(fw, grey, four), stride=2), 1),
        ("repeated, then 3 taps", impl.resize_conv2d(*tensors(fw, grey, three)), 1),
    ):
        inner = fw.images_numpy(output)[0, 3:-3, 3:-3, 0]
        told = f"{name}: the brightest inner pixel should be {expected} times the darkest"
        assert np.isclose(inner.max() / inner.min(), expected), f"{told}; it is {inner.max() / inner.min():.3g} times"


@gradients
@settings({name: ANYHOW[name] for name in ("stride", "all")})
def test_gradients_reach_images_kernel_and_bias(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)
    layer, formula = (partial(each, **arguments) for each in (impl.transposed_conv2d, spread))
    check_gradients(fw, layer, formula, images, kernel, bias)


@gradients
def test_gradients_pass_through_the_repeated_pixels(impl, fw, rng):
    arrays = map(rng.standard_normal, ((2, 3, 2, 2), (3, 1, 2, 3), 3))
    check_gradients(fw, partial(impl.resize_conv2d, scale=3), partial(enlarged, scale=3), *arrays)


@any_input
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_is_kept(impl, fw, rng, dtype):
    images, kernel, bias, arguments = drawn(rng, ANYHOW["all"])
    check(impl, fw, (images / 4, kernel / 2, bias), arguments, dtype)


@any_input
def test_the_memory_may_be_laid_out_otherwise_and_is_left_alone(impl, fw, rng):
    images, kernel, bias, arguments = drawn(rng, ANYHOW["all"])
    before = fw.own_layout(images), fw.own_kernel(kernel), bias
    inputs = list(map(fw.strided, before))
    output = impl.transposed_conv2d(*inputs, **arguments)
    fw.close(output, fw.own_layout(spread(images, kernel, bias, **arguments)), of="output")
    fw.check_all_unchanged(inputs, before, ("images", "kernel", "bias"))


@any_input
def test_more_and_larger_images_take_no_more_operations(impl, fw, rng):
    few, many = (
        tensors(fw, rng.standard_normal(shape), rng.standard_normal((3, 2, shape[-1] + 1, shape[-1])))
        for shape in ((2, 4, 5, 2), (7, 12, 15, 5))
    )
    fw.check_no_loops(partial(impl.transposed_conv2d, stride=2, padding=1), few, many, of="transposed_conv2d")


@pytest.mark.gpu
@stride_padding
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    *arrays, arguments = drawn(rng, ANYHOW["all"])
    gpu.check_device(impl.transposed_conv2d(*tensors(gpu, *arrays), **arguments))
    check(impl, gpu, arrays, arguments)
