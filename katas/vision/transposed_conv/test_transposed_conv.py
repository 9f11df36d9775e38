"""Levels of the transposed convolution kata.

Every expected value comes from loops over pixels in float64 NumPy, `spread` and `convolved` below; one test compares
with the framework's own layer. Images are written here as (batch, height, width, channel), kernels as (height, width,
out channels, in channels), and handed over in the framework's own layout.
"""

from itertools import product

import numpy as np
import pytest

from dojo import level

sizes = level(1, "sizes")
spread_level = level(2, "spread", points=2)
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
AXES = [  # size, kernel, stride, padding, output padding: all that leave a pixel
    setting
    for setting in product(range(1, 6), range(1, 6), range(1, 5), range(3), range(4))
    if setting[4] < setting[2] and (setting[0] - 1) * setting[2] + setting[1] + setting[4] > 2 * setting[3]
]


# ---------------------------------------------------------------- the formulas


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


def enlarged(images, kernel, bias, scale):
    """kernel (height, width, in channels, out channels)."""
    height, width = kernel.shape[:2]
    large = np.kron(images, np.ones((1, scale, scale, 1)))
    return convolved(large, kernel, large.shape[1:3], padding=(height // 2, width // 2)) + bias


# ---------------------------------------------------------------- the framework's layout


def own_images(fw, x):
    return x.transpose(0, 3, 1, 2) if fw.name == "torch" else x


def own_kernel(fw, x):
    """(height, width, a, b) as (b, a, height, width) in PyTorch: for the transposed and the ordinary convolution."""
    return x.transpose(3, 2, 0, 1) if fw.name == "torch" else x


def drawn(rng, setting):
    images, kernel, arguments = setting
    return rng.standard_normal(images), rng.standard_normal(kernel), rng.standard_normal(kernel[2]), arguments


def tensors(fw, images, kernel, *rest, dtype=None):
    return [fw.array(array, dtype) for array in (own_images(fw, images), own_kernel(fw, kernel), *rest)]


def settings(*tables):
    named = {name: setting for table in tables for name, setting in table.items()}
    return pytest.mark.parametrize("setting", named.values(), ids=list(named))


# ---------------------------------------------------------------- levels


@sizes
def test_the_size_is_what_is_left_of_the_canvas(impl):
    for setting in AXES:
        expected, found = len(counted(*setting)), impl.output_size(*setting)
        assert found == expected, (
            f"size {setting[0]}, kernel {setting[1]}, stride {setting[2]}, padding {setting[3]}, output padding "
            f"{setting[4]}: {expected} pixels are left, output_size says {found}"
        )
    assert impl.output_size(5, 3) == 7, f"by default 5 pixels and 3 taps make 7, not {impl.output_size(5, 3)}"


@sizes
@pytest.mark.parametrize(
    "wrong",
    [
        {"stride": 0},
        {"stride": -1},
        {"padding": -1},
        {"stride": 2, "output_padding": -1},
        {"output_padding": 1},
        {"stride": 2, "output_padding": 2},
        {"padding": 3},
        {"padding": 4},
    ],
    ids=["no_stride", "backwards", "adding", "shorter", "too_long", "too_long_at_stride_2", "all_cut", "more_than_all"],
)
def test_a_size_that_cannot_be_is_refused(impl, wrong):
    with pytest.raises(ValueError):
        impl.output_size(4, 3, **wrong)


@spread_level
@settings(AT_STRIDE_ONE)
def test_copies_of_the_kernel_are_added_where_they_overlap(impl, fw, rng, setting):
    images, kernel, bias, _ = drawn(rng, setting)
    output = impl.transposed_conv2d(*tensors(fw, images, kernel))
    fw.close(output, own_images(fw, spread(images, kernel)), of="output without bias")
    output = impl.transposed_conv2d(*tensors(fw, images, kernel, bias))
    fw.close(output, own_images(fw, spread(images, kernel, bias)), of="output")


@spread_level
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
    images, kernel, bias, arguments = drawn(rng, setting)
    output = impl.transposed_conv2d(*tensors(fw, images, kernel), **arguments)
    fw.close(output, own_images(fw, spread(images, kernel, **arguments)), of="output without bias")
    output = impl.transposed_conv2d(*tensors(fw, images, kernel, bias), **arguments)
    fw.close(output, own_images(fw, spread(images, kernel, bias, **arguments)), of="output")


@stride_padding(autograd=True)
@settings(ANYHOW)
def test_the_official_layer_agrees(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)
    arrays = tensors(fw, images, kernel, bias)
    shape = spread(images, kernel, bias, **arguments).shape
    output = impl.transposed_conv2d(*arrays, **arguments)
    fw.close(output, fw.numpy(official(fw, *arrays, shape, **arguments)), of="output", atol=1e-4)


def official(fw, images, kernel, bias, shape, stride=1, padding=0, output_padding=0):
    if fw.name == "torch":
        from torch.nn.functional import conv_transpose2d

        return conv_transpose2d(images, kernel, bias, stride, padding, output_padding)
    import tensorflow as tf

    border = [[0, 0], *([side, side] for side in pair(padding)), [0, 0]]
    return tf.nn.conv2d_transpose(images, kernel, shape, pair(stride), border) + bias


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
        assert np.isclose(found, expected), (
            f"the dot products are {a:.6g} and {b:.6g}, so the gap is {expected:.6g}; adjoint_gap says {found:.6g}"
        )


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
        array = fw.numpy(tensor).transpose(0, 2, 3, 1) if fw.name == "torch" else fw.numpy(tensor)
        return fw.array(own_images(fw, convolved(array, kernel, images.shape[1:3], **border)), "float64")

    y_tensor, kernel_tensor = tensors(fw, images, kernel, dtype="float64")
    gap = impl.adjoint_gap(
        forward,
        lambda tensor: impl.transposed_conv2d(tensor, kernel_tensor, **arguments),
        fw.array(own_images(fw, x), "float64"),
        y_tensor,
    )
    assert gap < 1e-9, f"⟨convolution(x), y⟩ and ⟨x, transposed convolution(y)⟩ should be equal; the gap is {gap:.3g}"


@checkerboard
def test_how_many_copies_reach_a_pixel(impl):
    for setting in AXES:
        found = impl.overlaps(*setting)
        assert isinstance(found, list), f"overlaps should be a list of numbers, not a {type(found).__name__}"
        assert list(map(int, found)) == counted(*setting), (
            f"size {setting[0]}, kernel {setting[1]}, stride {setting[2]}, padding {setting[3]}, output padding "
            f"{setting[4]}: {counted(*setting)} copies reach the pixels; overlaps says {found}"
        )
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
    images, bias = rng.standard_normal(shape), rng.standard_normal(4)
    kernel = rng.standard_normal((*taps, shape[-1], 4))
    expected = own_images(fw, enlarged(images, kernel, bias, scale))
    fw.close(impl.resize_conv2d(*tensors(fw, images, kernel, bias), scale), expected, of="output")
    without = own_images(fw, enlarged(images, kernel, 0, 2))
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
    grey = np.ones((1, 8, 8, 1))

    def contrast(output):
        inner = fw.images_numpy(output)[0, 3:-3, 3:-3, 0]
        return inner.max() / inner.min()

    found = {
        "3 taps at stride 2": contrast(impl.transposed_conv2d(*tensors(fw, grey, np.ones((3, 3, 1, 1))), stride=2)),
        "4 taps at stride 2": contrast(impl.transposed_conv2d(*tensors(fw, grey, np.ones((4, 4, 1, 1))), stride=2)),
        "repeated, then 3 taps": contrast(impl.resize_conv2d(*tensors(fw, grey, np.ones((3, 3, 1, 1))))),
    }
    expected = dict(zip(found, (4, 1, 1), strict=True))
    for name, value in found.items():
        assert np.isclose(value, expected[name]), (
            f"{name}: the brightest inner pixel is {value:.3g} times the darkest; it should be {expected[name]}"
        )


@gradients
@settings({name: ANYHOW[name] for name in ("stride", "all")})
def test_gradients_reach_images_kernel_and_bias(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)

    def by_hand(images, kernel, bias):
        if fw.name == "torch":
            images, kernel = images.transpose(0, 2, 3, 1), kernel.transpose(2, 3, 1, 0)
        return own_images(fw, spread(images, kernel, bias, **arguments))

    fw.check_gradients(
        lambda *arrays: impl.transposed_conv2d(*arrays, **arguments),
        by_hand,
        [own_images(fw, images), own_kernel(fw, kernel), bias],
        names=("images", "kernel", "bias"),
    )


@gradients
def test_gradients_pass_through_the_repeated_pixels(impl, fw, rng):
    images, kernel, bias = rng.standard_normal((2, 3, 2, 2)), rng.standard_normal((3, 1, 2, 3)), rng.standard_normal(3)

    def by_hand(images, kernel, bias):
        if fw.name == "torch":
            images, kernel = images.transpose(0, 2, 3, 1), kernel.transpose(2, 3, 1, 0)
        return own_images(fw, enlarged(images, kernel, bias, 3))

    fw.check_gradients(
        lambda *arrays: impl.resize_conv2d(*arrays, scale=3),
        by_hand,
        [own_images(fw, images), own_kernel(fw, kernel), bias],
        names=("images", "kernel", "bias"),
    )


@any_input
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_is_kept(impl, fw, rng, dtype):
    images, kernel, bias, arguments = drawn(rng, ANYHOW["all"])
    arrays = tensors(fw, images / 4, kernel / 2, bias, dtype=dtype)
    expected = own_images(fw, spread(images / 4, kernel / 2, bias, **arguments))
    fw.close(impl.transposed_conv2d(*arrays, **arguments), expected, of="output", dtype=dtype)


@any_input
def test_the_memory_may_be_laid_out_otherwise_and_is_left_alone(impl, fw, rng):
    images, kernel, bias, arguments = drawn(rng, ANYHOW["all"])
    inputs = tensors(fw, images, kernel, bias)
    if fw.name != "tensorflow":  # whose tensors have one layout
        inputs[0] = fw.array(own_images(fw, images).swapaxes(1, 3)).swapaxes(1, 3)
        inputs[1] = fw.array(own_kernel(fw, kernel).swapaxes(0, 2)).swapaxes(0, 2)
    output = impl.transposed_conv2d(*inputs, **arguments)
    fw.close(output, own_images(fw, spread(images, kernel, bias, **arguments)), of="output")
    before = own_images(fw, images), own_kernel(fw, kernel), bias
    for tensor, array, name in zip(inputs, before, ("images", "kernel", "bias"), strict=True):
        fw.check_unchanged(tensor, array, of=name)


@any_input
def test_more_and_larger_images_take_no_more_operations(impl, fw, rng):
    counts = []
    for batch, height, width, channels in ((2, 4, 5, 2), (7, 12, 15, 5)):
        images = rng.standard_normal((batch, height, width, channels))
        arrays = tensors(fw, images, rng.standard_normal((3, 2, channels + 1, channels)))
        counts.append(fw.count_ops(lambda *arrays: impl.transposed_conv2d(*arrays, stride=2, padding=1), *arrays))
    assert counts[1] <= counts[0], (
        f"transposed_conv2d takes {counts[0]} operations for 2 images of 4 by 5 and {counts[1]} for 7 of 12 by 15: "
        "something loops over images, pixels or channels"
    )


@pytest.mark.gpu
@stride_padding
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    images, kernel, bias, arguments = drawn(rng, ANYHOW["all"])
    output = impl.transposed_conv2d(*tensors(gpu, images, kernel, bias), **arguments)
    gpu.check_device(output)
    gpu.close(output, own_images(gpu, spread(images, kernel, bias, **arguments)), of="output")
