"""Levels of the residual block kata.

Every expected value comes from the formulas of `basic`, `bottleneck` and `preactivation` below, in float64 NumPy, on
the weights that the block under test holds. Images are written as (batch, height, width, channel).
"""

from functools import cache, partial
from itertools import pairwise

import numpy as np
import pytest

from dojo import level

shapes = level(1, "shapes")
basic_block = level(2, "basic", points=2)
bottleneck_block = level(3, "bottleneck", points=2)
pre_activation = level(4, "pre-activation", points=2)
start = level(5, "start", points=2)
whole_net = level(6, "net", points=2)
gradients = level(7, "gradients", points=3)

CHANNELS = 4  # not 3: the kernels have 3 taps
CASES = {  # batch, height and width of the images, their channels (None: as many as come out), and the stride
    "same_shape": ((2, 5, 6), None, 1),
    "half_the_size": ((2, 6, 7), None, 2),
    "more_channels": ((5, 1, 1), 2, 1),
}
LAYERS = ("conv1", "norm1", "conv2", "norm2", "conv3", "norm3", "projection", "projection_norm")
STARTS_AT_ZERO = {
    "BasicBlock": ("norm2", "scale"),
    "BottleneckBlock": ("norm3", "scale"),
    "PreActivationBlock": ("conv2", "kernel"),
}


class Weights:
    """The layers of a block or net, as functions of float64 arrays."""

    def __init__(self, fw, block, training=False):
        self.fw, self.block, self.training = fw, block, training

    def conv(self, name, x, stride=1):
        return convolved(x, self.fw.weights(getattr(self.block, name))["kernel"].astype("float64"), stride)

    def norm(self, name, x):
        layer, axes = getattr(self.block, name), (0, 1, 2)
        weights = self.fw.weights(layer)
        mean, variance = weights["mean"], weights["variance"].astype("float64")
        if self.training:
            mean, variance = x.mean(axes), x.var(axes)
        return (x - mean) / np.sqrt(variance + self.fw.layer_epsilon(layer)) * weights["scale"] + weights["shift"]


def convolved(x, kernel, stride):
    """Half the kernel's length, rounded down, of zeros on every side: the size is kept at stride 1."""
    border, (height, width) = len(kernel) // 2, x.shape[1:3]
    x = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    return sum(
        x[:, row : row + height : stride, column : column + width : stride] @ kernel[row, column]
        for row, column in np.ndindex(kernel.shape[:2])
    )


def relu(x):
    return np.maximum(x, 0)


def shortcut(weights, x, channels, stride):
    if x.shape[-1] == channels and stride == 1:
        return x
    return weights.norm("projection_norm", weights.conv("projection", x, stride))


def basic(weights, x, channels, stride, speaks=True):
    """`speaks` is false for a fresh block, whose branch gives zeros."""
    branch = relu(weights.norm("norm1", weights.conv("conv1", x, stride)))
    branch = weights.norm("norm2", weights.conv("conv2", branch))
    return relu(speaks * branch + shortcut(weights, x, channels, stride))


def bottleneck(weights, x, channels, stride, speaks=True):
    branch = relu(weights.norm("norm1", weights.conv("conv1", x)))
    branch = relu(weights.norm("norm2", weights.conv("conv2", branch, stride)))
    branch = weights.norm("norm3", weights.conv("conv3", branch))
    return relu(speaks * branch + shortcut(weights, x, 4 * channels, stride))


def preactivation(weights, x, channels, stride, speaks=True):
    active = relu(weights.norm("norm1", x))
    branch = relu(weights.norm("norm2", weights.conv("conv1", active, stride)))
    branch = weights.conv("conv2", branch)
    same = x.shape[-1] == channels and stride == 1
    return speaks * branch + (x if same else weights.conv("projection", active, stride))


def net_by_hand(weights, x):
    """Two stages of two basic blocks."""
    x = relu(weights.norm("stem_norm", weights.conv("stem", x)))
    for block, channels, stride in zip(weights.block.blocks, (4, 4, 8, 8), (1, 1, 2, 1), strict=True):
        x = basic(Weights(weights.fw, block, weights.training), x, channels, stride)
    head = weights.fw.weights(weights.block.head)
    return x.mean(axis=(1, 2)) @ head["kernel"] + head["bias"]


FORMULAS = {"BasicBlock": basic, "BottleneckBlock": bottleneck, "PreActivationBlock": preactivation}

every_block = pytest.mark.parametrize("name", FORMULAS, ids=["basic", "bottleneck", "pre_activation"])
every_case = pytest.mark.parametrize("case", CASES)


def sizes(name, case):
    """The shape of the images, the channels that come out, and the stride."""
    places, in_channels, stride = CASES[case]
    out_channels = 4 * CHANNELS if name == "BottleneckBlock" else CHANNELS
    return (*places, in_channels or out_channels), out_channels, stride


def made(impl, fw, name, case):
    """A fresh block, called once so that its weights exist."""
    shape, _, stride = sizes(name, case)
    block = fw.to_device(getattr(impl, name)(shape[-1], CHANNELS, stride))
    fw.call(block, fw.images(np.ones(shape)))
    return block


used = cache(made)  # where the block need not be fresh


def check_modes(fw, model, images, formula, *numbers, of="output"):
    """In both modes the model does what the formula says, and leaves the images alone; returns an output."""
    tensor = fw.images(images)
    for training, mode in ((False, "evaluation"), (True, "training")):
        expected = fw.own_layout(formula(Weights(fw, model, training), images, *numbers))
        output = fw.call(model, tensor, training=training)
        fw.close(output, expected, of=f"{of} in {mode} mode", atol=1e-4)
        if not training:
            fw.close(model(tensor), expected, of=f"{of} where training is not given", atol=1e-4)
        fw.check_unchanged(tensor, fw.own_layout(images), of="images")
    return output


def check_values(impl, fw, rng, name, case):
    """A block with a random number in every weight does what the formula says."""
    shape, _, stride = sizes(name, case)
    images, block = rng.standard_normal(shape), fw.randomise(used(impl, fw, name, case), rng)
    return check_modes(fw, block, images, FORMULAS[name], CHANNELS, stride)


@shapes
@every_block
@every_case
def test_the_stride_divides_the_size_and_the_channels_are_as_asked(impl, fw, rng, name, case):
    shape, channels, stride = sizes(name, case)
    expected = np.zeros((shape[0], -(-shape[1] // stride), -(-shape[2] // stride), channels))
    output = fw.call(used(impl, fw, name, case), fw.images(rng.standard_normal(shape)))
    fw.check_shape(output, fw.own_layout(expected).shape, of="output")


@shapes
@every_block
@every_case
def test_a_projection_stands_where_the_shape_changes_and_nowhere_else(impl, fw, name, case):
    (*_, before), after, stride = sizes(name, case)
    changes = stride != 1 or before != after
    wanted = "the shortcut needs a projection" if changes else "projection must be None"
    assert (used(impl, fw, name, case).projection is not None) == changes, (
        f"{name}({before}, {CHANNELS}, {stride}) leads from {before} to {after} channels at stride {stride}: {wanted}"
    )


@shapes
@every_block
def test_by_default_the_stride_is_one(impl, fw, name):
    (*_, channels), _, _ = sizes(name, "same_shape")
    block = getattr(impl, name)(channels, CHANNELS)
    assert block.projection is None, f"{name}({channels}, {CHANNELS}) keeps the shape: projection must be None"


@shapes
@every_block
@every_case
def test_no_weight_is_missing_and_none_is_wasted(impl, fw, name, case):
    (*_, before), after, stride = sizes(name, case)
    expected = {
        "BasicBlock": 9 * before * CHANNELS + 9 * CHANNELS**2 + 4 * CHANNELS,
        "BottleneckBlock": before * CHANNELS + 9 * CHANNELS**2 + CHANNELS * after + 4 * CHANNELS + 2 * after,
        "PreActivationBlock": 9 * before * CHANNELS + 9 * CHANNELS**2 + 2 * before + 2 * CHANNELS,
    }[name]
    if stride != 1 or before != after:
        expected += before * after + (0 if name == "PreActivationBlock" else 2 * after)
    found = sum(int(np.prod(tensor.shape)) for tensor in fw.parameters(used(impl, fw, name, case)).values())
    assert found == expected, (
        f"{name}({before}, {CHANNELS}, {stride}) needs {expected} trainable numbers; yours has {found}. "
        + ("Is there a bias?" if found > expected else "Is a layer missing, or never called?")
    )


@basic_block
@every_case
def test_the_basic_block(impl, fw, rng, case):
    check_values(impl, fw, rng, "BasicBlock", case)


@bottleneck_block
@every_case
def test_the_bottleneck_block(impl, fw, rng, case):
    check_values(impl, fw, rng, "BottleneckBlock", case)


@pre_activation
@every_case
def test_the_pre_activation_block(impl, fw, rng, case):
    check_values(impl, fw, rng, "PreActivationBlock", case)


@start
@every_block
@every_case
def test_a_fresh_block_is_its_shortcut(impl, fw, rng, name, case):
    shape, _, stride = sizes(name, case)
    images, block = rng.standard_normal(shape), made(impl, fw, name, case)
    check_modes(fw, block, images, FORMULAS[name], CHANNELS, stride, False, of="output of a fresh block")


@start
@every_block
def test_only_the_end_of_the_branch_starts_at_zero(impl, fw, name):
    block = made(impl, fw, name, "half_the_size")
    for layer in (name for name in LAYERS if getattr(block, name, None) is not None):
        key = "scale" if "norm" in layer else "kernel"
        value, zero = fw.weights(getattr(block, layer))[key], (layer, key) == STARTS_AT_ZERO[name]
        wanted = "zero" if zero else "one" if key == "scale" else "random numbers"
        right = np.any(value != 0) if wanted == "random numbers" else np.all(value == (0 if zero else 1))
        assert right, f"the {key} of {layer} must start at {wanted}; its first entry is {value.flat[0]:g}"


@start
@every_block
def test_the_zero_gets_a_gradient_and_does_not_stay(impl, fw, rng, name):
    block, shape = made(impl, fw, name, "same_shape"), sizes(name, "same_shape")[0]
    layer, key = STARTS_AT_ZERO[name]
    cotangent, images = fw.images(rng.standard_normal(shape)), fw.images(rng.standard_normal(shape))

    def loss():
        return fw.sum(fw.call(block, images, training=True) * cotangent)

    gradient = fw.layer_gradients(loss, [getattr(block, layer)])[0].get(key)
    assert gradient is not None and np.all(gradient), (
        f"some entries of the {key} of {layer} get no gradient: they stay zero, and the branch never speaks"
    )


@cache
def used_net(impl, fw):
    """Two stages of two blocks, called once so that the weights exist."""
    net = impl.ResidualNet((2, 2), in_channels=2, classes=5, width=4)
    fw.call(net, fw.images(np.ones((3, 6, 8, 2))))
    return net


@whole_net
def test_the_net_knows_all_its_weights_and_only_the_head_has_a_bias(impl, fw):
    net = used_net(impl, fw)
    for name, wanted in (("stem", ["kernel"]), ("head", ["bias", "kernel"])):
        found = sorted(fw.weights(getattr(net, name)))
        assert found == wanted, f"the weights of {name} should be {wanted}; they are {found}"
    found, wanted = len(fw.parameters(net)), 3 + 3 * 6 + 9 + 2  # stem and its norm, blocks (one projects), head
    assert found == wanted, f"an optimiser would find {found} trainable tensors in the net; its layers have {wanted}"


@whole_net
@pytest.mark.parametrize("shape", [(3, 6, 8, 2), (1, 5, 7, 2)], ids=["three_images", "one_image"])
def test_the_net_is_its_stem_its_blocks_and_its_head(impl, fw, rng, shape):
    images, net = rng.standard_normal(shape), fw.randomise(used_net(impl, fw), rng)
    assert len(net.blocks) == 4, f"two stages of two blocks make 4 blocks; the net has {len(net.blocks)}"
    check_modes(fw, net, images, net_by_hand, of="logits")


@whole_net
def test_by_default_the_images_are_grey_and_the_classes_ten(impl, fw, rng):
    net = impl.ResidualNet([1])
    fw.check_shape(fw.call(net, fw.images(rng.standard_normal((2, 3, 4, 1)))), (2, 10), of="logits")
    found = fw.weights(net.stem)["kernel"].shape
    assert found == (3, 3, 1, 16), f"by default the stem has 3 × 3 taps, 1 channel in and 16 out; yours has {found}"


@whole_net
@pytest.mark.parametrize("stages", [(), (2, 0), (-1,)], ids=["none", "an_empty_one", "negative"])
def test_a_net_without_blocks_is_refused(impl, fw, stages):
    with pytest.raises(ValueError):
        impl.ResidualNet(stages)


@gradients
@every_block
@pytest.mark.parametrize("case", ["same_shape", "half_the_size"])
def test_gradients_pass_through_branch_and_shortcut(impl, fw, rng, name, case):
    shape, _, stride = sizes(name, case)
    images, block = fw.own_layout(rng.standard_normal(shape)), fw.randomise(used(impl, fw, name, case), rng)

    def by_hand(images):
        weights = Weights(fw, block, training=True)
        return fw.own_layout(FORMULAS[name](weights, fw.common_layout(images), CHANNELS, stride))

    output = partial(fw.call, block, training=True)
    fw.check_gradients(output, by_hand, [images], names=["images"], dtype="float32", rtol=1e-3, atol=1e-3)


@gradients
@pytest.mark.timeout(60)  # TensorFlow takes seconds to build a hundred layers
def test_the_gradient_survives_a_hundred_layers(impl, fw, rng):
    """How many times larger the gradient is at the shift of one block's last norm than at another's.

    Every scale is set to one, so that the branches speak. Measured over ten seeds in both frameworks: 13 to 98 times,
    and 85 000 to 3.9 million times in the same net without shortcuts.
    """
    images, labels = rng.standard_normal((32, 8, 8, 1)), rng.integers(0, 10, 32)
    image_tensor, label_tensor = fw.images(images), fw.array(labels)
    net = impl.ResidualNet((17, 16, 16), width=4)
    fw.call(net, image_tensor)
    found = [fw.weights(block.conv2)["kernel"].shape[-1] for block in net.blocks]
    assert found == [4] * 17 + [8] * 16 + [16] * 16, f"blocks of 4, 8 and 16 channels were asked for, not {found}"
    for channels, block in zip(found, net.blocks, strict=True):
        fw.set_weights(block.norm2, {"scale": np.ones(channels)})

    def loss():
        return fw.cross_entropy(fw.call(net, image_tensor, training=True), label_tensor)

    arriving = [found["shift"] for found in fw.layer_gradients(loss, [block.norm2 for block in net.blocks])]
    assert all(gradient is not None and np.any(gradient) for gradient in arriving), "a block gets no gradient"
    norms = [np.linalg.norm(gradient) for gradient in arriving]
    factor, baseline = max(norms) / min(norms), factor_without_shortcuts(rng, images, labels)
    assert baseline > 10_000, f"the net without shortcuts should do worse; its factor is {baseline:.3g}"
    assert factor < 1000, f"the gradient is {factor:.3g} times larger at one block than at another; 1000 is allowed"


def factor_without_shortcuts(rng, images, labels):
    """The baseline: the same hundred layers in a row. Compares the first norm's shift with the last one's."""
    channels = [1] + [4] * 35 + [8] * 32 + [16] * 32
    strides = [2 if index in (35, 67) else 1 for index in range(99)]
    kernels = [rng.standard_normal((3, 3, *pair)) for pair in pairwise(channels)]
    head = rng.standard_normal((16, 10)) / 4

    def loss(layer, shift):
        x = images
        for index, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
            x = convolved(x, kernel, stride)
            x = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5)
            x = relu(x + shift if index == layer else x)
        logits = x.mean(axis=(1, 2)) @ head
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])

    steepness = []  # along four directions; the step is small, as the last layer magnifies it a hundred thousand times
    for layer in (0, 98):
        steps = 1e-9 * rng.standard_normal((4, channels[layer + 1]))
        steepness.append(np.linalg.norm([loss(layer, step) - loss(layer, -step) for step in steps]))
    return steepness[0] / steepness[1]


@pytest.mark.gpu
@basic_block
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    gpu.check_device(check_values(impl, gpu, rng, "BasicBlock", "half_the_size"))
