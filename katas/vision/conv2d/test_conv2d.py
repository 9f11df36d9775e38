"""Levels of the convolution kata.

Every expected value comes from a sum written out in float64 NumPy, window by window: `convolved`, `patches` and
`gradients` below; one test compares with the framework's own convolution. Images are written here as (batch, height,
width, channel) and kernels as (height, width, channel, filter), and handed over in the framework's own layout.
"""

from itertools import product

import numpy as np
import pytest

from dojo import level

sizes = level(1, "sizes")
direct = level(2, "direct", points=2)
patches_level = level(3, "patches", points=2)
one_product = level(4, "one product", points=3)
groups_level = level(5, "groups")
gradients_level = level(6, "gradients", points=3)
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


def pair(value):
    return (value, value) if isinstance(value, int) else value


def padded(images, padding):
    vertical, horizontal = pair(padding)
    return np.pad(images, ((0, 0), (vertical, vertical), (horizontal, horizontal), (0, 0)))


def positions(images, size, stride=1, padding=0, dilation=1):
    """(row, column, window) for each place where a kernel fits; `window` slices the padded images."""
    starts = []
    for length, kernel, step, border, gap in zip(
        images.shape[1:3], pair(size), *map(pair, (stride, padding, dilation)), strict=True
    ):
        reach = (kernel - 1) * gap + 1
        starts.append([slice(at, at + reach, gap) for at in range(0, length + 2 * border - reach + 1, step)])
    for row, vertical in enumerate(starts[0]):
        for column, horizontal in enumerate(starts[1]):
            yield row, column, (slice(None), vertical, horizontal)


def channels_of(index, kernel, groups):
    """The channels that filter `index` sees."""
    group = index * groups // kernel.shape[-1]
    return slice(group * kernel.shape[2], (group + 1) * kernel.shape[2])


def convolved(images, kernel, bias=None, groups=1, **arguments):
    """(batch, rows, columns, filters), as the formula reads."""
    *_, (last_row, last_column, _) = positions(images, kernel.shape[:2], **arguments)
    output = np.zeros((len(images), last_row + 1, last_column + 1, kernel.shape[-1]))
    wide = padded(np.asarray(images, "float64"), arguments.get("padding", 0))
    for row, column, window in positions(images, kernel.shape[:2], **arguments):
        for index in range(kernel.shape[-1]):
            seen = wide[window][..., channels_of(index, kernel, groups)]
            output[:, row, column, index] = np.sum(seen * kernel[..., index], axis=(1, 2, 3))
    return output if bias is None else output + bias


def patches(images, size, **arguments):
    """(batch, positions, kernel height, kernel width, channel)."""
    wide = padded(images, arguments.get("padding", 0))
    return np.stack([wide[window] for _, _, window in positions(images, size, **arguments)], axis=1)


def gradients(gradient, images, kernel, groups=1, **arguments):
    """What each product of `convolved` sends back to the pixel and to the weight that it multiplies."""
    wide = padded(np.asarray(images, "float64"), arguments.get("padding", 0))
    to_wide, to_kernel = np.zeros_like(wide), np.zeros(kernel.shape)
    for row, column, window in positions(images, kernel.shape[:2], **arguments):
        for index in range(kernel.shape[-1]):
            channels = channels_of(index, kernel, groups)
            arriving = gradient[:, row, column, index][:, None, None, None]
            to_wide[window][..., channels] += arriving * kernel[..., index]
            to_kernel[..., index] += np.sum(arriving * wide[window][..., channels], axis=0)
    top, left = pair(arguments.get("padding", 0))
    to_images = to_wide[:, top : top + images.shape[1], left : left + images.shape[2]]
    return to_images, to_kernel, gradient.sum(axis=(0, 1, 2))


def own_images(fw, x):
    """Images in the framework's order of axes."""
    return x.transpose(0, 3, 1, 2) if fw.name == "torch" else x


def own_kernel(fw, x):
    return x.transpose(3, 2, 0, 1) if fw.name == "torch" else x


def own_patches(fw, x):
    batch, places, height, width, channels = x.shape
    if fw.name == "torch":
        return x.transpose(0, 4, 2, 3, 1).reshape(batch, channels * height * width, places)
    return x.reshape(batch, places, height * width * channels)


def drawn(rng, setting):
    """Images, kernel and bias of a setting, and its arguments."""
    images, kernel, arguments = setting
    return rng.standard_normal(images), rng.standard_normal(kernel), rng.standard_normal(kernel[-1]), arguments


def tensors(fw, images, kernel, *rest, dtype=None):
    arrays = own_images(fw, images), own_kernel(fw, kernel), *rest
    return [fw.array(array, dtype) for array in arrays]


def settings(*tables):
    named = {name: setting for table in tables for name, setting in table.items()}
    return pytest.mark.parametrize("setting", named.values(), ids=[name.replace(" ", "_") for name in named])


def fewer_and_more(fw, rng, groups):
    """Tensors of few and of many images: also larger ones, with more channels and filters, for one kernel size."""
    for batch, height, width, each in ((2, 5, 6, 2), (7, 12, 15, 5)):
        images = rng.standard_normal((batch, height, width, each * groups))
        yield tensors(fw, images, rng.standard_normal((3, 2, each, each * groups)))


def check_counts(name, small, large):
    assert large <= small, (
        f"{name} takes {small} operations for 2 images of 5 by 6 and {large} for 7 images of 12 by 15: "
        "something loops over images, pixels, channels or filters"
    )


one_or_two_groups = pytest.mark.parametrize("groups", [1, 2], ids=["one_group", "two_groups"])


@sizes
def test_the_output_has_a_place_for_each_window_that_fits(impl):
    for size in range(1, 12):
        for kernel, stride, padding, dilation in product(range(1, 6), range(1, 5), range(3), range(1, 4)):
            last_tap = (kernel - 1) * dilation
            places = len(range(0, size + 2 * padding - last_tap, stride))
            if places:
                found = impl.output_size(size, kernel, stride, padding, dilation)
                assert found == places, (
                    f"size {size}, kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}: "
                    f"{places} windows fit, output_size says {found}"
                )


@sizes
def test_by_default_the_windows_touch_every_pixel_side_by_side(impl):
    found = impl.output_size(9, 4)
    assert found == 6, f"a kernel of 4 has 6 places in 9 pixels, without padding and gaps; output_size says {found}"


@sizes
@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 4, "kernel": 5},
        {"size": 2, "kernel": 5, "padding": 1},
        {"size": 4, "kernel": 3, "dilation": 2},
        {"size": 4, "kernel": 3, "stride": 0},
        {"size": 4, "kernel": 3, "stride": -1},
        {"size": 9, "kernel": 3, "padding": -1},  # the cropped image is still large enough
        {"size": 4, "kernel": 3, "dilation": 0},
    ],
    ids=["too_large", "too_large_for_the_padding", "too_wide", "no_stride", "backwards", "cropping", "no_dilation"],
)
def test_a_kernel_that_fits_nowhere_is_refused(impl, arguments):
    with pytest.raises(ValueError):
        impl.output_size(**arguments)


@direct
@settings(SETTINGS)
def test_direct_convolution(impl, fw, rng, setting):
    images, kernel, _, arguments = drawn(rng, setting)
    output = impl.conv2d_direct(*tensors(fw, images, kernel), **arguments)
    fw.close(output, own_images(fw, convolved(images, kernel, **arguments)), of="output")


@direct
def test_the_bias_is_added_once_to_each_filter(impl, fw, rng):
    images, kernel, bias, arguments = drawn(rng, SETTINGS["all"])
    output = impl.conv2d_direct(*tensors(fw, images, kernel, bias), **arguments)
    fw.close(output, own_images(fw, convolved(images, kernel, bias, **arguments)), of="output")


@patches_level
@settings(SETTINGS)
def test_a_patch_for_each_window(impl, fw, rng, setting):
    images, kernel, _, arguments = drawn(rng, setting)
    found = impl.im2col(fw.images(images), kernel.shape[:2], **arguments)
    fw.close(found, own_patches(fw, patches(images, kernel.shape[:2], **arguments)), of="patches")


@patches_level
def test_one_number_stands_for_a_square_kernel(impl, fw, rng):
    images = rng.standard_normal((2, 4, 5, 3))
    fw.close(impl.im2col(fw.images(images), 2), own_patches(fw, patches(images, 2)), of="patches")


@one_product
@settings(SETTINGS)
def test_convolution_by_patches(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)
    output = impl.conv2d(*tensors(fw, images, kernel), **arguments)
    fw.close(output, own_images(fw, convolved(images, kernel, **arguments)), of="output without bias")
    output = impl.conv2d(*tensors(fw, images, kernel, bias), **arguments)
    fw.close(output, own_images(fw, convolved(images, kernel, bias, **arguments)), of="output")


@one_product(autograd=True)
@settings(SETTINGS)
def test_the_official_convolution_agrees(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)
    arrays = tensors(fw, images, kernel, bias)
    fw.close(impl.conv2d(*arrays, **arguments), fw.numpy(official(fw, *arrays, **arguments)), of="output")


def official(fw, images, kernel, bias, stride=1, padding=0, dilation=1):
    if fw.name == "torch":
        from torch.nn.functional import conv2d

        return conv2d(images, kernel, bias, stride, padding, dilation)
    import tensorflow as tf

    border = [[0, 0], *([side, side] for side in pair(padding)), [0, 0]]
    return tf.nn.conv2d(images, kernel, pair(stride), border, dilations=pair(dilation)) + bias


@one_product
@pytest.mark.parametrize("arguments", [{"dilation": 2}, {"stride": 0}], ids=["too_large", "no_stride"])
def test_a_convolution_that_is_not_possible_is_refused(impl, fw, rng, arguments):
    arrays = tensors(fw, rng.standard_normal((1, 5, 4, 2)), rng.standard_normal((2, 3, 2, 1)))
    with pytest.raises(ValueError):
        impl.conv2d_direct(*arrays, **arguments)
    with pytest.raises(ValueError):
        impl.conv2d(*arrays, **arguments)


@one_product
@one_or_two_groups
def test_more_and_larger_images_take_no_more_operations(impl, fw, rng, groups):
    arguments = {"stride": (1, 2), "padding": (1, 0), "groups": groups}
    small, large = (
        fw.count_ops(lambda *arrays: impl.conv2d(*arrays, **arguments), *arrays)
        for arrays in fewer_and_more(fw, rng, groups)
    )
    check_counts("conv2d", small, large)


@groups_level
@settings(GROUPED)
def test_a_filter_sees_the_channels_of_its_group(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)
    expected = own_images(fw, convolved(images, kernel, bias, **arguments))
    output = impl.conv2d_direct(*tensors(fw, images, kernel, bias), **arguments)
    fw.close(output, expected, of="output of conv2d_direct")
    output = impl.conv2d(*tensors(fw, images, kernel, bias), **arguments)
    fw.close(output, expected, of="output of conv2d")


@groups_level
@pytest.mark.parametrize(
    ("channels", "kernel", "bias", "groups"),
    [(4, (2, 2, 3, 2), 2, 1), (4, (2, 2, 4, 2), 2, 2), (4, (2, 2, 2, 3), 3, 2), (4, (2, 2, 4, 3), 1, 1)],
    ids=["channels", "channels_of_a_group", "filters_of_a_group", "bias"],
)
def test_channels_that_do_not_fit_are_refused(impl, fw, rng, channels, kernel, bias, groups):
    shapes = (1, 4, 4, channels), kernel, bias
    arrays = tensors(fw, *map(rng.standard_normal, shapes))
    with pytest.raises(ValueError):
        impl.conv2d_direct(*arrays, groups=groups)
    with pytest.raises(ValueError):
        impl.conv2d(*arrays, groups=groups)


@gradients_level
@settings(SETTINGS, GROUPED)
def test_the_backward_pass(impl, fw, rng, setting):
    images, kernel, _, arguments = drawn(rng, setting)
    gradient = rng.standard_normal(convolved(images, kernel, **arguments).shape)
    inputs = [own_images(fw, gradient), own_images(fw, images), own_kernel(fw, kernel)]
    found = impl.conv2d_backward(*(fw.array(array, "float64") for array in inputs), **arguments)
    assert isinstance(found, tuple) and len(found) == 3, "expected the gradients of images, kernel and bias, in a tuple"
    to_images, to_kernel, to_bias = gradients(gradient, images, kernel, **arguments)
    fw.close(found[2], to_bias, of="gradient of the bias", dtype="float64")
    fw.close(found[1], own_kernel(fw, to_kernel), of="gradient of the kernel", dtype="float64")
    fw.close(found[0], own_images(fw, to_images), of="gradient of the images", dtype="float64")


@gradients_level(autograd=True)
@settings({"all": SETTINGS["all"], "three groups": GROUPED["three groups"]})
def test_autograd_goes_through_the_product(impl, fw, rng, setting):
    images, kernel, bias, arguments = drawn(rng, setting)

    def by_hand(images, kernel, bias):
        if fw.name == "torch":
            images, kernel = images.transpose(0, 2, 3, 1), kernel.transpose(2, 3, 1, 0)
        return own_images(fw, convolved(images, kernel, bias, **arguments))

    fw.check_gradients(
        lambda *arrays: impl.conv2d(*arrays, **arguments),
        by_hand,
        [own_images(fw, images), own_kernel(fw, kernel), bias],
        names=("images", "kernel", "bias"),
    )


@gradients_level
@one_or_two_groups
def test_more_and_larger_images_take_no_more_operations_backward(impl, fw, rng, groups):
    arguments = {"stride": (1, 2), "padding": (1, 0), "groups": groups}
    small, large = (
        fw.count_ops(
            lambda *arrays: impl.conv2d_backward(*arrays, **arguments), impl.conv2d(*arrays, **arguments), *arrays
        )
        for arrays in fewer_and_more(fw, rng, groups)
    )
    check_counts("conv2d_backward", small, large)


@edges
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_is_kept(impl, fw, rng, dtype):
    images, kernel, bias, arguments = drawn(rng, SETTINGS["one number"])
    images, kernel = images / 4, kernel / 2
    expected = own_images(fw, convolved(images, kernel, bias, **arguments))
    output = impl.conv2d_direct(*tensors(fw, images, kernel, bias, dtype=dtype), **arguments)
    fw.close(output, expected, of="output of conv2d_direct", dtype=dtype)
    output = impl.conv2d(*tensors(fw, images, kernel, bias, dtype=dtype), **arguments)
    fw.close(output, expected, of="output of conv2d", dtype=dtype)


@edges
def test_no_images_give_no_outputs(impl, fw, rng):
    _, kernel, bias, arguments = drawn(rng, SETTINGS["all"])
    output = impl.conv2d(*tensors(fw, np.zeros((0, 9, 11, 2)), kernel, bias), **arguments)
    fw.close(output, own_images(fw, convolved(np.zeros((0, 9, 11, 2)), kernel, **arguments)), of="output")


@edges
def test_the_memory_may_be_laid_out_otherwise(impl, fw, rng):
    images, kernel, _, arguments = drawn(rng, SETTINGS["all"])
    image_tensor, kernel_tensor = tensors(fw, images, kernel)
    if fw.name != "tensorflow":  # whose tensors have one layout
        image_tensor = fw.array(own_images(fw, images).swapaxes(1, 3)).swapaxes(1, 3)
        kernel_tensor = fw.array(own_kernel(fw, kernel).swapaxes(0, 2)).swapaxes(0, 2)
    output = impl.conv2d(image_tensor, kernel_tensor, **arguments)
    fw.close(output, own_images(fw, convolved(images, kernel, **arguments)), of="output")


@edges
def test_the_arguments_are_left_alone(impl, fw, rng):
    images, kernel, bias, arguments = drawn(rng, SETTINGS["all"])
    inputs = tensors(fw, images, kernel, bias)
    gradient = rng.standard_normal(convolved(images, kernel, **arguments).shape)
    arriving = fw.images(gradient)
    impl.conv2d(*inputs, **arguments)
    impl.conv2d_direct(*inputs, **arguments)
    impl.conv2d_backward(arriving, *inputs[:2], **arguments)
    before = own_images(fw, images), own_kernel(fw, kernel), bias
    for tensor, array, name in zip(inputs, before, ("images", "kernel", "bias"), strict=True):
        fw.check_unchanged(tensor, array.astype("float32"), of=name)
    fw.check_unchanged(arriving, own_images(fw, gradient).astype("float32"), of="gradient")


@pytest.mark.gpu
@one_product
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    images, kernel, bias, arguments = drawn(rng, SETTINGS["all"])
    output = impl.conv2d(*tensors(gpu, images, kernel, bias), **arguments)
    gpu.check_device(output)
    gpu.close(output, own_images(gpu, convolved(images, kernel, bias, **arguments)), of="output")
