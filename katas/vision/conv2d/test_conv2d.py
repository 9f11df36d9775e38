"""Levels of the convolution kata.

Every expected value is a sum in float64 NumPy, window by window: `convolved`, `patches` and `gradients`. Images are
(batch, height, width, channel) and kernels (height, width, channel, filter), handed over in the framework's layout.
"""

from functools import partial
from itertools import product

import numpy as np
import pytest

from dojo import level

sizes = level(1, "sizes")
direct = level(2, "direct", points=2)
by_patches = level(3, "patches", points=2)
one_product = level(4, "one product", points=3)
grouped = level(5, "groups")
backward = level(6, "gradients", points=3)
edges = level(7, "edges")

# Shape of the images, shape of the kernel, and the arguments.
SETTINGS = {
    "plain": ((2, 5, 6, 3), (3, 3, 3, 4), {}),
    "pointwise": ((2, 4, 3, 3), (1, 1, 3, 2), {}),
    "stride": ((2, 8, 9, 2), (3, 2, 2, 3), {"stride": (2, 3)}),
    "padding": ((1, 4, 5, 2), (3, 5, 2, 2), {"padding": (1, 2)}),
    "dilation": ((2, 9, 8, 2), (3, 2, 2, 3), {"dilation": (2, 3)}),
    "all": ((2, 9, 11, 2), (3, 4, 2, 3), {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2)}),
    "one number": ((2, 7, 6, 2), (3, 3, 2, 2), {"stride": 2, "padding": 1, "dilation": 2}),
    "whole image": ((2, 4, 3, 2), (4, 3, 2, 5), {}),
    "tiny": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
}
GROUPED = {
    "two groups": ((2, 5, 6, 4), (3, 2, 2, 6), {"groups": 2}),
    "depthwise": ((2, 6, 5, 3), (3, 3, 1, 3), {"groups": 3, "padding": 1}),
    "two filters a channel": ((1, 5, 6, 3), (2, 3, 1, 6), {"groups": 3, "stride": (1, 2)}),
    "three groups": ((2, 7, 6, 6), (3, 2, 2, 3), {"groups": 3, "dilation": (2, 1), "stride": 2, "padding": (0, 1)}),
}

IMPOSSIBLE = {
    "too_large": {"size": 4, "kernel": 5},
    "too_large_for_the_padding": {"size": 2, "kernel": 5, "padding": 1},
    "too_wide": {"size": 4, "kernel": 3, "dilation": 2},
    "no_stride": {"size": 4, "kernel": 3, "stride": 0},
    "backwards": {"size": 4, "kernel": 3, "stride": -1},
    "cropping": {"size": 9, "kernel": 3, "padding": -1},  # the cropped image is still large enough
    "no_dilation": {"size": 4, "kernel": 3, "dilation": 0},
}


def pair(value):
    return (value, value) if isinstance(value, int) else value


def padded(images, padding=0):
    vertical, horizontal = pair(padding)
    return np.pad(images, ((0, 0), (vertical, vertical), (horizontal, horizontal), (0, 0)))


def positions(images, size, stride=1, padding=0, dilation=1):
    """(row, column, window) for each place where a kernel fits; `window` slices the padded images."""
    starts = []
    steps = (images.shape[1:3], *map(pair, (size, stride, padding, dilation)))
    for length, kernel, step, border, gap in zip(*steps, strict=True):
        reach = (kernel - 1) * gap + 1
        starts.append([slice(at, at + reach, gap) for at in range(0, length + 2 * border - reach + 1, step)])
    for row, vertical in enumerate(starts[0]):
        for column, horizontal in enumerate(starts[1]):
            yield row, column, (slice(None), vertical, horizontal)


def windows(images, kernel, groups, **arguments):
    """For each output number its (row, column, filter), and what it sees of the padded images."""
    seen, filters = kernel.shape[2:]
    for row, column, window in positions(images, kernel.shape[:2], **arguments):
        for index in range(filters):
            group = index * groups // filters
            yield (row, column, index), (*window, slice(group * seen, (group + 1) * seen))


def convolved(images, kernel, bias=0, groups=1, **arguments):
    """(batch, rows, columns, filters), as the formula reads."""
    *_, (last_row, last_column, _) = positions(images, kernel.shape[:2], **arguments)
    output = np.zeros((len(images), last_row + 1, last_column + 1, kernel.shape[-1]))
    wide = padded(np.asarray(images, "float64"), arguments.get("padding", 0))
    for (row, column, index), window in windows(images, kernel, groups, **arguments):
        output[:, row, column, index] = np.sum(wide[window] * kernel[..., index], axis=(1, 2, 3))
    return output + bias


def patches(images, size, **arguments):
    """(batch, positions, kernel height, kernel width, channel)."""
    wide = padded(images, arguments.get("padding", 0))
    return np.stack([wide[window] for _, _, window in positions(images, size, **arguments)], axis=1)


def gradients(gradient, images, kernel, groups=1, **arguments):
    """What each product of `convolved` sends back to the pixel and to the weight that it multiplies."""
    wide = padded(np.asarray(images, "float64"), arguments.get("padding", 0))
    to_wide, to_kernel = np.zeros_like(wide), np.zeros(kernel.shape)
    for (row, column, index), window in windows(images, kernel, groups, **arguments):
        arriving = gradient[:, row, column, index][:, None, None, None]
        to_wide[window] += arriving * kernel[..., index]
        to_kernel[..., index] += np.sum(arriving * wide[window], axis=0)
    top, left = pair(arguments.get("padding", 0))
    to_images = to_wide[:, top : top + images.shape[1], left : left + images.shape[2]]
    return to_images, to_kernel, gradient.sum(axis=(0, 1, 2))


def own_patches(fw, x):
    """(batch, positions, everything in a patch), which PyTorch's unfold gives the other way round."""
    rows = fw.own_layout(fw.own_layout(x).reshape(*x.shape[:2], 1, -1))
    return rows.reshape(*rows.shape[:2], -1)


def drawn(rng, setting):
    """Images, kernel and bias of a setting, and its arguments."""
    images, kernel, arguments = setting
    return rng.standard_normal(images), rng.standard_normal(kernel), rng.standard_normal(kernel[-1]), arguments


def tensors(fw, images, kernel, *rest, dtype=None):
    return [fw.array(array, dtype) for array in (fw.own_layout(images), fw.own_kernel(kernel), *rest)]


def check(fw, convolve, arrays, arguments, of="output", dtype=None):
    """The function's output for images, kernel and perhaps bias is that of the formula."""
    output = convolve(*tensors(fw, *arrays, dtype=dtype), **arguments)
    fw.close(output, fw.own_layout(convolved(*arrays, **arguments)), of, dtype)


def check_both(impl, fw, arrays, arguments, dtype=None):
    for name in ("conv2d_direct", "conv2d"):
        check(fw, getattr(impl, name), arrays, arguments, f"output of {name}", dtype)


def check_both_refuse(impl, arrays, **arguments):
    for convolve in (impl.conv2d_direct, impl.conv2d):
        with pytest.raises(ValueError):
            convolve(*arrays, **arguments)


def settings(*tables):
    named = {name: setting for table in tables for name, setting in table.items()}
    return pytest.mark.parametrize("setting", named.values(), ids=[name.replace(" ", "_") for name in named])


def few_and_many(fw, rng, groups):
    """Tensors of few and of many images: also larger ones, with more channels and filters, for one kernel size."""
    for batch, height, width, each in ((2, 5, 6, 2), (7, 12, 15, 5)):
        images = rng.standard_normal((batch, height, width, each * groups))
        yield tensors(fw, images, rng.standard_normal((3, 2, each, each * groups)))


one_or_two_groups = pytest.mark.parametrize("groups", [1, 2], ids=["one_group", "two_groups"])


@sizes
def test_the_output_has_a_place_for_each_window_that_fits(impl):
    for size in range(1, 12):
        for kernel, stride, padding, dilation in product(range(1, 6), range(1, 5), range(3), range(1, 4)):
            places = len(range(0, size + 2 * padding - (kernel - 1) * dilation, stride))
            if places:
                found = impl.output_size(size, kernel, stride, padding, dilation)
                told = f"size {size}, kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}"
                assert found == places, f"{told}: {places} windows fit, output_size says {found}"


@sizes
def test_by_default_the_windows_touch_every_pixel_side_by_side(impl):
    found = impl.output_size(9, 4)
    assert found == 6, f"a kernel of 4 has 6 places in 9 pixels, without padding and gaps; output_size says {found}"


@sizes
@pytest.mark.parametrize("arguments", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_kernel_that_fits_nowhere_is_refused(impl, arguments):
    with pytest.raises(ValueError):
        impl.output_size(**arguments)


@direct
@settings(SETTINGS)
def test_direct_convolution(impl, fw, rng, setting):
    images, kernel, _, arguments = drawn(rng, setting)
    check(fw, impl.conv2d_direct, (images, kernel), arguments)


@direct
def test_the_bias_is_added_once_to_each_filter(impl, fw, rng):
    *arrays, arguments = drawn(rng, SETTINGS["all"])
    check(fw, impl.conv2d_direct, arrays, arguments)


@by_patches
@settings(SETTINGS)
def test_a_patch_for_each_window(impl, fw, rng, setting):
    images, kernel, _, arguments = drawn(rng, setting)
    found = impl.im2col(fw.images(images), kernel.shape[:2], **arguments)
    fw.close(found, own_patches(fw, patches(images, kernel.shape[:2], **arguments)), of="patches")


@by_patches
def test_one_number_stands_for_a_square_kernel(impl, fw, rng):
    images = rng.standard_normal((2, 4, 5, 3))
    fw.close(impl.im2col(fw.images(images), 2), own_patches(fw, patches(images, 2)), of="patches")


@one_product
@settings(SETTINGS)
def test_convolution_by_patches(impl, fw, rng, setting):
    *arrays, arguments = drawn(rng, setting)
    check(fw, impl.conv2d, arrays[:2], arguments, of="output without bias")
    check(fw, impl.conv2d, arrays, arguments)


def torch_conv2d(images, kernel, bias, **arguments):
    from torch.nn.functional import conv2d

    return conv2d(images, kernel, bias, **arguments)


def tensorflow_conv2d(images, kernel, bias, stride=1, padding=0, dilation=1):
    import tensorflow as tf

    border = [[0, 0], *([side, side] for side in pair(padding)), [0, 0]]
    return tf.nn.conv2d(images, kernel, pair(stride), border, dilations=pair(dilation)) + bias


OFFICIAL = {"torch": torch_conv2d, "tensorflow": tensorflow_conv2d}


@one_product(autograd=True)
@settings(SETTINGS)
def test_the_official_convolution_agrees(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)
    arrays = tensors(fw, images, kernel, bias)
    expected = fw.numpy(OFFICIAL[fw.name](*arrays, **arguments))
    fw.close(impl.conv2d(*arrays, **arguments), expected, of="output")


@one_product
@pytest.mark.parametrize("arguments", [{"dilation": 2}, {"stride": 0}], ids=["too_large", "no_stride"])
def test_a_convolution_that_is_not_possible_is_refused(impl, fw, rng, arguments):
    arrays = tensors(fw, rng.standard_normal((1, 5, 4, 2)), rng.standard_normal((2, 3, 2, 1)))
    check_both_refuse(impl, arrays, **arguments)


@one_product
@one_or_two_groups
def test_more_and_larger_images_take_no_more_operations(impl, fw, rng, groups):
    convolve = partial(impl.conv2d, stride=(1, 2), padding=(1, 0), groups=groups)
    fw.check_no_loops(convolve, *few_and_many(fw, rng, groups), of="conv2d")


@grouped
@settings(GROUPED)
def test_a_filter_sees_the_channels_of_its_group(impl, fw, rng, setting):
    *arrays, arguments = drawn(rng, setting)
    check_both(impl, fw, arrays, arguments)


@grouped
@pytest.mark.parametrize(
    ("channels", "kernel", "bias", "groups"),
    [(4, (2, 2, 3, 2), 2, 1), (4, (2, 2, 4, 2), 2, 2), (4, (2, 2, 2, 3), 3, 2), (4, (2, 2, 4, 3), 1, 1)],
    ids=["channels", "channels_of_a_group", "filters_of_a_group", "bias"],
)
def test_channels_that_do_not_fit_are_refused(impl, fw, rng, channels, kernel, bias, groups):
    arrays = tensors(fw, *map(rng.standard_normal, ((1, 4, 4, channels), kernel, bias)))
    check_both_refuse(impl, arrays, groups=groups)


@backward
@settings(SETTINGS, GROUPED)
def test_the_backward_pass(impl, fw, rng, setting):
    images, kernel, _, arguments = drawn(rng, setting)
    gradient = rng.standard_normal(convolved(images, kernel, **arguments).shape)
    inputs = fw.own_layout(gradient), fw.own_layout(images), fw.own_kernel(kernel)
    found = impl.conv2d_backward(*(fw.array(array, "float64") for array in inputs), **arguments)
    assert isinstance(found, tuple) and len(found) == 3, "expected the gradients of images, kernel and bias, in a tuple"
    to_images, to_kernel, to_bias = gradients(gradient, images, kernel, **arguments)
    expected = to_bias, fw.own_kernel(to_kernel), fw.own_layout(to_images)
    names = ("gradient of the bias", "gradient of the kernel", "gradient of the images")
    fw.close_all(found[::-1], expected, names, dtype="float64")


@backward(autograd=True)
@settings({"all": SETTINGS["all"], "three groups": GROUPED["three groups"]})
def test_autograd_goes_through_the_product(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)

    def by_hand(images, kernel, bias):
        return fw.own_layout(convolved(fw.common_layout(images), fw.common_kernel(kernel), bias, **arguments))

    inputs = fw.own_layout(images), fw.own_kernel(kernel), bias
    fw.check_gradients(partial(impl.conv2d, **arguments), by_hand, inputs, names=("images", "kernel", "bias"))


@backward
@one_or_two_groups
def test_more_and_larger_images_take_no_more_operations_backward(impl, fw, rng, groups):
    arguments = {"stride": (1, 2), "padding": (1, 0), "groups": groups}
    inputs = [(impl.conv2d(*arrays, **arguments), *arrays) for arrays in few_and_many(fw, rng, groups)]
    fw.check_no_loops(partial(impl.conv2d_backward, **arguments), *inputs, of="conv2d_backward")


@edges
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_is_kept(impl, fw, rng, dtype):
    images, kernel, bias, arguments = drawn(rng, SETTINGS["one number"])
    check_both(impl, fw, (images / 4, kernel / 2, bias), arguments, dtype)


@edges
def test_no_images_give_no_outputs(impl, fw, rng):
    _, kernel, bias, arguments = drawn(rng, SETTINGS["all"])
    check(fw, impl.conv2d, (np.zeros((0, 9, 11, 2)), kernel, bias), arguments)


@edges
def test_the_memory_may_be_laid_out_otherwise(impl, fw, rng):
    images, kernel, _, arguments = drawn(rng, SETTINGS["all"])
    output = impl.conv2d(fw.strided(fw.own_layout(images)), fw.strided(fw.own_kernel(kernel)), **arguments)
    fw.close(output, fw.own_layout(convolved(images, kernel, **arguments)), of="output")


@edges
def test_the_arguments_are_left_alone(impl, fw, rng):
    images, kernel, bias, arguments = drawn(rng, SETTINGS["all"])
    gradient = rng.standard_normal(convolved(images, kernel, **arguments).shape)
    inputs, arriving = tensors(fw, images, kernel, bias), fw.images(gradient)
    impl.conv2d(*inputs, **arguments)
    impl.conv2d_direct(*inputs, **arguments)
    impl.conv2d_backward(arriving, *inputs[:2], **arguments)
    before = fw.own_layout(images), fw.own_kernel(kernel), bias, fw.own_layout(gradient)
    fw.check_all_unchanged([*inputs, arriving], before, ("images", "kernel", "bias", "gradient"))


@pytest.mark.gpu
@one_product
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    *arrays, arguments = drawn(rng, SETTINGS["all"])
    gpu.check_device(impl.conv2d(*tensors(gpu, *arrays), **arguments))
    check(gpu, impl.conv2d, arrays, arguments)
