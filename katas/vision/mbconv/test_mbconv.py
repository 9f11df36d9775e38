"""Levels of the inverted bottleneck kata.

Every expected value comes from the formulas of `excited` and `block_by_hand` below, in float64 NumPy, on the weights
that the block under test holds. Images are written as (batch, height, width, channel).
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from dojo import level

widths = level(1, "widths")
excitation = level(2, "excitation", points=2)
parts = level(3, "parts", points=2)
block_level = level(4, "block", points=3)
shortcut = level(5, "shortcut")
gradients_level = level(6, "gradients", points=2)
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
    def arguments(self):
        return self[1:]

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
LAYERS = ("expand", "expand_norm", "depthwise", "depthwise_norm", "project", "project_norm")


# ---------------------------------------------------------------- the formulas


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
        for row in range(len(kernel))
        for column in range(len(kernel))
    )


def normed(fw, layer, x, training):
    weights = fw.weights(layer)
    mean, variance = weights["mean"], weights["variance"]
    if training:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    epsilon = layer.eps if fw.name == "torch" else layer.epsilon
    return (x - mean) / np.sqrt(variance + epsilon) * weights["scale"] + weights["shift"]


def block_by_hand(fw, block, case, images, training):
    x = images
    if case.expand_ratio > 1:
        x = silu(normed(fw, block.expand_norm, x @ fw.weights(block.expand)["kernel"][0, 0], training))
    x = depthwise(x, fw.weights(block.depthwise)["kernel"], case.stride)
    x = excited(fw, block.excitation, silu(normed(fw, block.depthwise_norm, x, training)))
    x = normed(fw, block.project_norm, x @ fw.weights(block.project)["kernel"][0, 0], training)
    return x + images if case.stride == 1 and case.in_channels == case.channels else x


# ---------------------------------------------------------------- blocks to test


def fill(fw, layers):
    """Put random numbers into every weight, the stored statistics included."""
    rng = np.random.default_rng(0)
    for layer in layers:
        weights = {}
        for name, old in fw.weights(layer).items():
            if name == "kernel":
                weights[name] = 2 * rng.standard_normal(old.shape) / np.sqrt(old[..., 0].size)
            elif name in ("scale", "variance"):
                weights[name] = rng.uniform(0.5, 1.5, old.shape)
            else:
                weights[name] = rng.standard_normal(old.shape) / 2
        fw.set_weights(layer, weights)


@cache
def made(impl, fw, case):
    """A block whose weights exist, each of them a random number."""
    block = impl.MBConv(*case.arguments)
    on_device(fw, block)
    fw.call(block, fw.images(np.ones((*case.places, case.in_channels))))
    fill(fw, [getattr(block, name) for name in LAYERS if getattr(block, name) is not None])
    fill(fw, [block.excitation.narrow, block.excitation.widen])
    return block


def on_device(fw, block):
    if fw.name == "torch":
        block.to(fw.device)


def own(fw, images):
    """Images in the framework's order of axes."""
    return images.transpose(0, 3, 1, 2) if fw.name == "torch" else images


def check_block(impl, fw, rng, case):
    images, block = rng.standard_normal((*case.places, case.in_channels)), made(impl, fw, case)
    for training, mode in ((True, "training"), (False, "evaluation")):
        expected = block_by_hand(fw, block, case, images, training)
        tensor = fw.images(images)
        output = fw.call(block, tensor, training=training)
        fw.close(output, own(fw, expected), of=f"output in {mode} mode", atol=1e-4)
        fw.check_unchanged(tensor, own(fw, images), of="images")
    if fw.name == "tensorflow":
        fw.close(block(tensor), own(fw, expected), of="output where training is not named", atol=1e-4)


def each(cases):
    return pytest.mark.parametrize("case", cases.values(), ids=list(cases))


# ---------------------------------------------------------------- levels


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
    fw.check_shape(gate(tensor), own(fw, images).shape, of="images weighed")  # and now Keras has made the weights
    fill(fw, [gate.narrow, gate.widen])
    fw.close(gate(tensor), own(fw, excited(fw, gate, images)), of="images weighed")
    fw.check_unchanged(tensor, own(fw, images), of="images")


@excitation
def test_the_gate_is_as_narrow_as_asked(impl, fw, rng):
    gate = impl.SqueezeExcitation(6, 2)
    gate(fw.images(rng.standard_normal((2, 3, 3, 6))))
    sizes = [fw.weights(layer)["kernel"].size for layer in (gate.narrow, gate.widen)]
    assert sizes == [12, 12], (
        f"narrow and widen lead from 6 channels to 2 and back, 12 weights each; yours have {sizes}"
    )


@parts
@each(CASES)
def test_no_weight_is_missing_and_none_is_wasted(impl, fw, case):
    block, wide = made(impl, fw, case), case.wide
    for name in ("expand", "expand_norm"):
        assert (getattr(block, name) is None) == (case.expand_ratio == 1), (
            f"at expand ratio {case.expand_ratio} {name} is {getattr(block, name)}: "
            "it must be None where the ratio is 1, and a layer elsewhere"
        )
    found = fw.weights(block.depthwise)["kernel"].shape
    expected = (case.kernel_size, case.kernel_size, 1, wide)
    assert found == expected, (
        f"the depthwise kernel has {wide} filters of {case.kernel_size} × {case.kernel_size} taps that see one channel "
        f"each: {expected} as (height, width, channels seen, filters), not {found}"
    )
    squeezed = fw.weights(block.excitation.narrow)["kernel"].shape[-1]
    assert squeezed == case.squeezed, (
        f"{case.in_channels} channels come in, so at se_ratio {case.se_ratio:g} the gate has {case.squeezed} squeezed "
        f"channels, not {squeezed}"
    )
    expected = (case.expand_ratio > 1) * (case.in_channels * wide + 2 * wide)
    expected += case.kernel_size**2 * wide + 2 * wide
    expected += 2 * wide * case.squeezed + case.squeezed + wide
    expected += wide * case.channels + 2 * case.channels
    found = sum(int(np.prod(tensor.shape)) for tensor in fw.parameters(block).values())
    assert found == expected, f"MBConv{case.arguments} needs {expected} trainable numbers; yours has {found}. " + (
        "Is there a bias before a norm?" if found > expected else "Is a layer missing?"
    )


@parts
def test_what_is_asked_for_by_default(impl, fw, rng):
    block = impl.MBConv(8, 3)
    output = fw.call(block, fw.images(rng.standard_normal((1, 4, 5, 8))))
    fw.check_shape(output, own(fw, np.zeros((1, 4, 5, 3))).shape, of="output")
    found = fw.weights(block.depthwise)["kernel"].shape
    assert found == (3, 3, 1, 48), f"by default a 3 × 3 kernel and six times the channels: (3, 3, 1, 48), not {found}"
    squeezed = fw.weights(block.excitation.narrow)["kernel"].shape[-1]
    assert squeezed == 2, f"by default the gate has a quarter of the 8 channels that come in, not {squeezed}"


@parts
@pytest.mark.parametrize("wrong", [{"kernel_size": 4}, {"expand_ratio": 0}], ids=["even_kernel", "no_channels"])
def test_a_block_that_is_not_possible_is_refused(impl, fw, wrong):
    with pytest.raises(ValueError):
        impl.MBConv(4, 4, **wrong)


@block_level
@each(CHANGES)
def test_the_block(impl, fw, rng, case):
    check_block(impl, fw, rng, case)


@shortcut
@each(KEEPS)
def test_what_comes_in_is_added_where_the_shape_is_kept(impl, fw, rng, case):
    check_block(impl, fw, rng, case)


@gradients_level
@each({name: CASES[name] for name in ("half_the_size", "kept")})
def test_gradients_come_back_through_block_gate_and_shortcut(impl, fw, rng, case):
    block = made(impl, fw, case)

    def by_hand(images):
        images = images.transpose(0, 2, 3, 1) if fw.name == "torch" else images
        return own(fw, block_by_hand(fw, block, case, images, training=True))

    fw.check_gradients(  # the block computes in float32, hence the tolerance
        lambda images: cast(fw, fw.call(block, cast(fw, images, "float32"), training=True), "float64"),
        by_hand,
        [own(fw, rng.standard_normal((*case.places, case.in_channels)))],
        names=["images"],
        rtol=1e-3,
        atol=1e-3,
    )


@gradients_level
def test_every_weight_gets_a_gradient(impl, fw, rng):
    case = CASES["kept"]
    block, images = made(impl, fw, case), fw.images(rng.standard_normal((*case.places, case.in_channels)))
    tensors = fw.parameters(block)
    for name, gradient in zip(tensors, gradients(fw, block, images, list(tensors.values())), strict=True):
        assert gradient is not None, f"no gradient reaches {name}"
        assert np.any(fw.numpy(gradient) != 0), f"the gradient of {name} is zero everywhere"


def gradients(fw, block, images, tensors):
    """How the sum of the squared output changes with each tensor, in training mode."""
    if fw.name == "torch":
        import torch

        return torch.autograd.grad((fw.call(block, images, training=True) ** 2).sum(), tensors, allow_unused=True)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(fw.call(block, images, training=True) ** 2)
    return tape.gradient(loss, [tensor.value for tensor in tensors])


def cast(fw, tensor, dtype):
    if fw.name == "torch":
        return tensor.to(fw.array(0.0, dtype).dtype)
    import tensorflow as tf

    return tf.cast(tensor, dtype)


@no_loops
def test_more_channels_take_no_more_operations(impl, fw, rng):
    counts = []
    for case in (Case((2, 5, 6), 8, 8, expand_ratio=3), Case((6, 9, 10), 32, 32, expand_ratio=3)):
        block, images = made(impl, fw, case), fw.images(rng.standard_normal((*case.places, case.in_channels)))
        counts.append(fw.count_ops(lambda x, block=block: fw.call(block, x), images))
    assert counts[1] <= counts[0], (
        f"2 images of 8 channels take {counts[0]} operations, 6 larger ones of 32 channels {counts[1]}: "
        "something loops over channels or images"
    )


@pytest.mark.gpu
@block_level
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    case = CASES["half_the_size"]
    images, block = rng.standard_normal((*case.places, case.in_channels)), made(impl, gpu, case)
    output = gpu.call(block, gpu.images(images))
    gpu.check_device(output)
    gpu.close(output, own(gpu, block_by_hand(gpu, block, case, images, training=False)), of="output", atol=1e-4)
