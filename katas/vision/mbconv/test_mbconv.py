"""Levels of the inverted bottleneck kata.

Every expected value comes from the formulas of `excited` and `block_by_hand`, in float64 NumPy, on the weights that
the block under test holds. Images are (batch, height, width, channel).
"""

from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pytest

from dojo import level

widths = level(1, "widths")
excitation = level(2, "excitation", points=2)
parts = level(3, "parts", points=2)
whole_block = level(4, "block", points=3)
shortcut = level(5, "shortcut")
gradients = level(6, "gradients", points=2)
no_loops = level(7, "no loops")


class Case(NamedTuple):
    places: tuple[int, int, int]  # batch, height, width
    in_channels: int
    channels: int
    kernel_size: int = 3
    stride: int = 1
    expand_ratio: int = 6
    se_ratio: float = 0.25

    @property
    def wide(self):
        return self.in_channels * self.expand_ratio

    @property
    def squeezed(self):
        return max(1, int(self.in_channels * self.se_ratio))


CHANGES = {
    "fewer_channels": Case((2, 5, 6), 8, 3, expand_ratio=2),
    "half_the_size": Case((2, 6, 7), 4, 4, stride=2, expand_ratio=3, se_ratio=0.5),
    "no_expansion": Case((2, 7, 8), 3, 5, kernel_size=5, stride=2, expand_ratio=1),
    "one_pixel": Case((5, 1, 1), 2, 3, kernel_size=7, expand_ratio=4),
}
KEEPS = {
    "kept": Case((2, 5, 6), 4, 4, expand_ratio=3),
    "kept_no_expansion": Case((3, 4, 1), 5, 5, kernel_size=5, expand_ratio=1),
}
CASES = CHANGES | KEEPS


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def dense(fw, layer, x):
    """A dense layer, or the 1×1 convolution that is the same."""
    weights = fw.weights(layer)
    return x @ weights["kernel"].reshape(weights["kernel"].shape[-2:]) + weights["bias"]


def excited(fw, gate, x):
    hidden = silu(dense(fw, gate.narrow, x.mean(axis=(1, 2))))
    return x * sigmoid(dense(fw, gate.widen, hidden))[:, None, None, :]


def depthwise(x, kernel, stride):
    """kernel (k, k, 1, channels), with k // 2 zeros on every side of the images."""
    border, (height, width) = len(kernel) // 2, x.shape[1:3]
    x = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    return sum(
        x[:, row : row + height : stride, column : column + width : stride] * kernel[row, column, 0]
        for row, column in np.ndindex(kernel.shape[:2])
    )


def normed(fw, layer, x, training):
    weights = fw.weights(layer)
    mean, variance = weights["mean"], weights["variance"]
    if training:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(variance + fw.layer_epsilon(layer)) * weights["scale"] + weights["shift"]


def block_by_hand(fw, block, case, images, training):
    x = images
    if case.expand_ratio > 1:
        x = silu(normed(fw, block.expand_norm, x @ fw.weights(block.expand)["kernel"][0, 0], training))
    x = depthwise(x, fw.weights(block.depthwise)["kernel"], case.stride)
    x = excited(fw, block.excitation, silu(normed(fw, block.depthwise_norm, x, training)))
    x = normed(fw, block.project_norm, x @ fw.weights(block.project)["kernel"][0, 0], training)
    return x + images if case.stride == 1 and case.in_channels == case.channels else x


@cache
def made(impl, fw, case):
    """A block whose weights exist, each of them a random number."""
    block = fw.to_device(impl.MBConv(*case[1:]))
    fw.call(block, fw.images(np.ones((*case.places, case.in_channels))))
    return fw.randomise(block, np.random.default_rng(0), gain=2)


def drawn(rng, case):
    return rng.standard_normal((*case.places, case.in_channels))


def check_block(impl, fw, rng, case):
    """In both modes the block gives what the formula says, and leaves the images alone; returns an output."""
    images, block = drawn(rng, case), made(impl, fw, case)
    tensor = fw.images(images)
    for training, mode in ((True, "training"), (False, "evaluation")):
        expected = fw.own_layout(block_by_hand(fw, block, case, images, training))
        output = fw.call(block, tensor, training=training)
        fw.close(output, expected, of=f"output in {mode} mode", atol=1e-4)
        fw.check_unchanged(tensor, fw.own_layout(images), of="images")
    fw.close(block(tensor), expected, of="output where training is not named", atol=1e-4)
    return output


def each(cases):
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


@widths
def test_a_part_of_the_channels_is_kept_and_never_none(impl):
    for channels in range(1, 70):
        for ratio in (1 / 16, 1 / 4, 1 / 2, 1):
            expected = max(1, int(channels * ratio))
            found = impl.squeezed_channels(channels, ratio)
            assert found == expected, f"of {channels} channels the part {ratio:g} is {expected}, not {found!r}"
    assert impl.squeezed_channels(8) == 2, f"by default a quarter is kept: 2 of 8, not {impl.squeezed_channels(8)!r}"


@widths
def test_a_gate_without_channels_is_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.SqueezeExcitation(4, 0)


@excitation
@pytest.mark.parametrize(
    ("shape", "squeezed"), [((2, 5, 6, 4), 2), ((3, 1, 1, 2), 1), ((1, 7, 3, 5), 8)], ids=["some", "one", "many"]
)
def test_each_channel_of_each_image_gets_its_weight(impl, fw, rng, shape, squeezed):
    images = rng.standard_normal(shape) + rng.standard_normal(shape[-1])
    gate, tensor = impl.SqueezeExcitation(shape[-1], squeezed), fw.images(images)
    fw.check_shape(gate(tensor), fw.own_layout(images).shape, of="images weighed")  # and now Keras has made the weights
    fw.randomise(gate, rng, gain=2)
    fw.close(gate(tensor), fw.own_layout(excited(fw, gate, images)), of="images weighed")
    fw.check_unchanged(tensor, fw.own_layout(images), of="images")


@excitation
def test_the_gate_is_as_narrow_as_asked(impl, fw, rng):
    gate = impl.SqueezeExcitation(6, 2)
    gate(fw.images(rng.standard_normal((2, 3, 3, 6))))
    sizes = [fw.weights(layer)["kernel"].size for layer in (gate.narrow, gate.widen)]
    told = "narrow and widen lead from 6 channels to 2 and back, 12 weights each"
    assert sizes == [12, 12], f"{told}; yours have {sizes}"


@parts
@each(CASES)
def test_no_weight_is_missing_and_none_is_wasted(impl, fw, case):
    block, wide = made(impl, fw, case), case.wide
    for name in ("expand", "expand_norm"):
        told = f"at expand ratio {case.expand_ratio} {name} must be {'None' if case.expand_ratio == 1 else 'a layer'}"
        assert (getattr(block, name) is None) == (case.expand_ratio == 1), told
    found = fw.weights(block.depthwise)["kernel"].shape
    expected = (case.kernel_size, case.kernel_size, 1, wide)
    told = f"the depthwise kernel (height, width, channels that a filter sees, filters) has the shape {expected}"
    assert found == expected, f"{told}; yours has {found}"
    found = fw.weights(block.excitation.narrow)["kernel"].shape[-1]
    told = f"at se_ratio {case.se_ratio:g} and {case.in_channels} channels that come in the gate has {case.squeezed}"
    assert found == case.squeezed, f"{told} squeezed channels, not {found}"
    expected = (case.expand_ratio > 1) * (case.in_channels * wide + 2 * wide)
    expected += case.kernel_size**2 * wide + 2 * wide
    expected += 2 * wide * case.squeezed + case.squeezed + wide
    expected += wide * case.channels + 2 * case.channels
    found = sum(int(np.prod(tensor.shape)) for tensor in fw.parameters(block).values())
    told = "Is there a bias before a norm?" if found > expected else "Is a layer missing?"
    assert found == expected, f"MBConv{case[1:]} needs {expected} trainable numbers; yours has {found}. {told}"


@parts
def test_what_is_asked_for_by_default(impl, fw, rng):
    block = impl.MBConv(8, 3)
    output = fw.call(block, fw.images(rng.standard_normal((1, 4, 5, 8))))
    fw.check_shape(output, fw.own_layout(np.zeros((1, 4, 5, 3))).shape, of="output")
    found = fw.weights(block.depthwise)["kernel"].shape
    assert found == (3, 3, 1, 48), f"by default a 3 × 3 kernel and six times the channels: (3, 3, 1, 48), not {found}"
    squeezed = fw.weights(block.excitation.narrow)["kernel"].shape[-1]
    assert squeezed == 2, f"by default the gate has a quarter of the 8 channels that come in, not {squeezed}"


@parts
@pytest.mark.parametrize("wrong", [{"kernel_size": 4}, {"expand_ratio": 0}], ids=["even_kernel", "no_channels"])
def test_a_block_that_is_not_possible_is_refused(impl, fw, wrong):
    with pytest.raises(ValueError):
        impl.MBConv(4, 4, **wrong)


@whole_block
@each(CHANGES)
def test_the_block(impl, fw, rng, case):
    check_block(impl, fw, rng, case)


@shortcut
@each(KEEPS)
def test_what_comes_in_is_added_where_the_shape_is_kept(impl, fw, rng, case):
    check_block(impl, fw, rng, case)


@gradients
@each({name: CASES[name] for name in ("half_the_size", "kept")})
def test_gradients_come_back_through_block_gate_and_shortcut(impl, fw, rng, case):
    block = made(impl, fw, case)

    def by_hand(images):
        return fw.own_layout(block_by_hand(fw, block, case, fw.common_layout(images), training=True))

    images, output = fw.own_layout(drawn(rng, case)), partial(fw.call, block, training=True)
    fw.check_gradients(output, by_hand, [images], names=["images"], rtol=1e-3, atol=1e-3, dtype="float32")


@gradients
def test_every_weight_gets_a_gradient(impl, fw, rng):
    block, images = made(impl, fw, CASES["kept"]), fw.images(drawn(rng, CASES["kept"]))
    weights = fw.parameters(block)
    found = fw.gradients(lambda: fw.sum(fw.call(block, images, training=True) ** 2), weights.values())
    for name, gradient in zip(weights, found, strict=True):
        assert gradient is not None and np.any(gradient), f"the gradient of {name} is zero everywhere, or missing"


@no_loops
def test_more_channels_take_no_more_operations(impl, fw, rng):
    cases = Case((2, 5, 6), 8, 8, expand_ratio=3), Case((6, 9, 10), 32, 32, expand_ratio=3)
    few, many = ((made(impl, fw, case), fw.images(drawn(rng, case))) for case in cases)
    fw.check_no_loops(fw.call, few, many, of="MBConv")


@pytest.mark.gpu
@whole_block
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    gpu.check_device(check_block(impl, gpu, rng, CASES["half_the_size"]))
