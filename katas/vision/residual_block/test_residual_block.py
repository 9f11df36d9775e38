"""Levels of the residual block kata.

Every expected value comes from the formulas of `basic`, `bottleneck` and `preactivation` below, in float64 NumPy, on
the weights that the block under test holds. Images are written as (batch, height, width, channel).
"""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from dojo import level

shapes = level(1, "shapes")
basic_level = level(2, "basic", points=2)
bottleneck_level = level(3, "bottleneck", points=2)
pre_activation = level(4, "pre-activation", points=2)
start_level = level(5, "start", points=2)
net_level = level(6, "net", points=2)
gradients_level = level(7, "gradients", points=3)

CHANNELS = 4  # not 3: the kernels have 3 taps
CASES = {  # batch, height and width of the images, their channels (None: as many as come out), and the stride
    "same_shape": ((2, 5, 6), None, 1),
    "half_the_size": ((2, 6, 7), None, 2),
    "more_channels": ((5, 1, 1), 2, 1),
}
LAYERS = ("conv1", "norm1", "conv2", "norm2", "conv3", "norm3", "projection", "projection_norm")


# ---------------------------------------------------------------- the formulas


class Weights:
    """The layers of a block or net, as functions of float64 arrays."""

    def __init__(self, fw, block, training=False):
        self.fw, self.block, self.training = fw, block, training

    def conv(self, name, x, stride=1):
        return convolved(x, self.fw.weights(getattr(self.block, name))["kernel"].astype("float64"), stride)

    def norm(self, name, x):
        layer = getattr(self.block, name)
        weights = {key: value.astype("float64") for key, value in self.fw.weights(layer).items()}
        mean, variance = weights["mean"], weights["variance"]
        if self.training:
            mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        epsilon = layer.eps if self.fw.name == "torch" else layer.epsilon
        return (x - mean) / np.sqrt(variance + epsilon) * weights["scale"] + weights["shift"]


def convolved(x, kernel, stride):
    """Half the kernel's length, rounded down, of zeros on every side: the size is kept at stride 1."""
    border = len(kernel) // 2
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    return sum(
        x[:, row : row + height : stride, column : column + width : stride] @ kernel[row, column]
        for row in range(len(kernel))
        for column in range(len(kernel))
    )


def relu(x):
    return np.maximum(x, 0)


def shortcut(weights, x, channels, stride):
    if x.shape[-1] == channels and stride == 1:
        return x
    return weights.norm("projection_norm", weights.conv("projection", x, stride))


def basic(weights, x, channels, stride):
    branch = relu(weights.norm("norm1", weights.conv("conv1", x, stride)))
    branch = weights.norm("norm2", weights.conv("conv2", branch))
    return relu(branch + shortcut(weights, x, channels, stride))


def bottleneck(weights, x, channels, stride):
    branch = relu(weights.norm("norm1", weights.conv("conv1", x)))
    branch = relu(weights.norm("norm2", weights.conv("conv2", branch, stride)))
    branch = weights.norm("norm3", weights.conv("conv3", branch))
    return relu(branch + shortcut(weights, x, 4 * channels, stride))


def preactivation(weights, x, channels, stride):
    active = relu(weights.norm("norm1", x))
    branch = relu(weights.norm("norm2", weights.conv("conv1", active, stride)))
    branch = weights.conv("conv2", branch)
    same = x.shape[-1] == channels and stride == 1
    return branch + (x if same else weights.conv("projection", active, stride))


FORMULAS = {"BasicBlock": basic, "BottleneckBlock": bottleneck, "PreActivationBlock": preactivation}


# ---------------------------------------------------------------- blocks to test


def sizes(name, case):
    """The shape of the images, the channels that come out, and the stride."""
    places, in_channels, stride = CASES[case]
    out_channels = 4 * CHANNELS if name == "BottleneckBlock" else CHANNELS
    return (*places, in_channels or out_channels), out_channels, stride


def made(impl, fw, name, case):
    """A fresh block, called once so that its weights exist."""
    shape, _, stride = sizes(name, case)
    block = getattr(impl, name)(shape[-1], CHANNELS, stride)
    if fw.name == "torch" and fw.device != "cpu":
        block.to(fw.device)
    fw.call(block, fw.images(np.ones(shape)))
    return block


@cache
def kept(impl, fw, name, case):
    """A block, and the weights that it started with."""
    block = made(impl, fw, name, case)
    layers = {layer: getattr(block, layer, None) for layer in LAYERS}
    return block, {name: fw.weights(layer) for name, layer in layers.items() if layer is not None}


def fresh(impl, fw, name, case):
    block, start = kept(impl, fw, name, case)
    for layer, weights in start.items():
        fw.set_weights(getattr(block, layer), weights)
    return block


def filled(impl, fw, name, case):
    """A block with a random number in every weight."""
    return fill(fw, np.random.default_rng(0), kept(impl, fw, name, case)[0])


def fill(fw, rng, block, names=LAYERS):
    """Put random numbers into every layer of the block, the stored statistics included."""
    for layer in (getattr(block, name, None) for name in names):
        if layer is None:
            continue
        weights = {}
        for name, old in fw.weights(layer).items():
            if name == "kernel":
                weights[name] = rng.standard_normal(old.shape) / np.sqrt(old[..., 0].size)
            elif name in ("scale", "variance"):
                weights[name] = rng.uniform(0.5, 1.5, old.shape)
            else:
                weights[name] = rng.standard_normal(old.shape) / 2
        fw.set_weights(layer, weights)
    return block


def own(fw, images):
    """Images in the framework's order of axes."""
    return images.transpose(0, 3, 1, 2) if fw.name == "torch" else images


def check_values(impl, fw, rng, name, case):
    shape, _, stride = sizes(name, case)
    images, block = rng.standard_normal(shape), filled(impl, fw, name, case)
    for training, mode in ((False, "evaluation"), (True, "training")):
        expected = FORMULAS[name](Weights(fw, block, training), images, CHANNELS, stride)
        tensor = fw.images(images)
        output = fw.call(block, tensor, training=training)
        fw.close(output, own(fw, expected), of=f"output in {mode} mode", atol=1e-4)
        if not training and fw.name != "torch":  # there the mode belongs to the block
            fw.close(block(tensor), own(fw, expected), of="output where training is not given", atol=1e-4)
        fw.check_unchanged(tensor, own(fw, images).astype("float32"), of="images")


def gradients(fw, model, images, slope, tensors):
    """How a loss changes with each tensor, in training mode; `slope` gives its gradient at the output, from arrays."""
    if fw.name == "torch":
        import torch

        output = fw.call(model, images, training=True)
        return torch.autograd.grad(output, tensors, fw.array(slope(fw.numpy(output))), allow_unused=True)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        output = fw.call(model, images, training=True)
    return tape.gradient(output, [tensor.value for tensor in tensors], fw.array(slope(fw.numpy(output))))


def descend(fw, model, images, slope, rate):
    """One step of gradient descent."""
    tensors = list(fw.parameters(model).values())
    for tensor, gradient in zip(tensors, gradients(fw, model, images, slope, tensors), strict=True):
        if gradient is None:
            continue
        if fw.name == "torch":
            tensor.data -= rate * gradient
        else:
            tensor.assign_sub(rate * gradient)


def cast(fw, tensor, dtype):
    if fw.name == "torch":
        return tensor.to(fw.array(0.0, dtype).dtype)
    import tensorflow as tf

    return tf.cast(tensor, dtype)


every_block = pytest.mark.parametrize("name", FORMULAS, ids=["basic", "bottleneck", "pre_activation"])
every_case = pytest.mark.parametrize("case", CASES)


# ---------------------------------------------------------------- levels


@shapes
@every_block
@every_case
def test_the_stride_divides_the_size_and_the_channels_are_as_asked(impl, fw, rng, name, case):
    shape, channels, stride = sizes(name, case)
    expected = np.zeros((shape[0], -(-shape[1] // stride), -(-shape[2] // stride), channels))
    output = fw.call(fresh(impl, fw, name, case), fw.images(rng.standard_normal(shape)))
    fw.check_shape(output, own(fw, expected).shape, of="output")


@shapes
@every_block
@every_case
def test_a_projection_stands_where_the_shape_changes_and_nowhere_else(impl, fw, name, case):
    (*_, before), after, stride = sizes(name, case)
    changes = stride != 1 or before != after
    assert (fresh(impl, fw, name, case).projection is not None) == changes, (
        f"{name}({before}, {CHANNELS}, {stride}) leads from {before} to {after} channels at stride {stride}: "
        + ("the shape changes, so the shortcut needs a projection" if changes else "projection must be None")
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
    tensors = fw.parameters(fresh(impl, fw, name, case)).values()
    found = sum(int(np.prod(tensor.shape)) for tensor in tensors)
    assert found == expected, (
        f"{name}({before}, {CHANNELS}, {stride}) needs {expected} trainable numbers; yours has {found}. "
        + ("Is there a bias?" if found > expected else "Is a layer missing, or never called?")
    )


@basic_level
@every_case
def test_the_basic_block(impl, fw, rng, case):
    check_values(impl, fw, rng, "BasicBlock", case)


@bottleneck_level
@every_case
def test_the_bottleneck_block(impl, fw, rng, case):
    check_values(impl, fw, rng, "BottleneckBlock", case)


@pre_activation
@every_case
def test_the_pre_activation_block(impl, fw, rng, case):
    check_values(impl, fw, rng, "PreActivationBlock", case)


@start_level
@every_block
@every_case
def test_a_fresh_block_is_its_shortcut(impl, fw, rng, name, case):
    shape, channels, stride = sizes(name, case)
    images, block = rng.standard_normal(shape), fresh(impl, fw, name, case)
    for training, mode in ((False, "evaluation"), (True, "training")):
        weights = Weights(fw, block, training)
        if name != "PreActivationBlock":
            expected = relu(shortcut(weights, images, channels, stride))
        elif block.projection is None:
            expected = images
        else:
            expected = weights.conv("projection", relu(weights.norm("norm1", images)), stride)
        output = fw.call(block, fw.images(images), training=training)
        fw.close(output, own(fw, expected), of=f"output of a fresh block in {mode} mode", atol=1e-4)


@start_level
@every_block
def test_only_the_end_of_the_branch_starts_at_zero(impl, fw, name):
    block = fresh(impl, fw, name, "half_the_size")
    silent = {"BasicBlock": "norm2", "BottleneckBlock": "norm3", "PreActivationBlock": "conv2"}[name]
    for layer in LAYERS:
        if getattr(block, layer, None) is None:
            continue
        for key, value in fw.weights(getattr(block, layer)).items():
            if key == "scale":
                wanted = 0 if layer == silent else 1
                assert np.all(value == wanted), f"the scale of {layer} starts at {value.flat[0]:g}, not at {wanted}"
            elif key == "kernel":
                zero = layer == silent
                assert np.all(value == 0) == zero, f"the kernel of {layer} " + (
                    "must start at zero" if zero else "is zero: only the branch's last layer starts so"
                )


@start_level
@every_block
def test_the_zero_gets_a_gradient_and_does_not_stay(impl, fw, rng, name):
    block, shape = fresh(impl, fw, name, "same_shape"), sizes(name, "same_shape")[0]
    layer, key = {
        "BasicBlock": ("norm2", "scale"),
        "BottleneckBlock": ("norm3", "scale"),
        "PreActivationBlock": ("conv2", "kernel"),
    }[name]
    cotangent = own(fw, rng.standard_normal(shape))
    descend(fw, block, fw.images(rng.standard_normal(shape)), lambda output: cotangent, rate=0.1)
    moved = fw.weights(getattr(block, layer))[key]
    assert np.all(moved != 0), (
        f"after a step of gradient descent {np.sum(moved == 0)} of {moved.size} entries of the {key} of {layer} are "
        "still zero: no gradient reaches them, and the branch never speaks"
    )


@cache
def kept_net(impl, fw):
    """Two stages of two blocks, called once so that the weights exist."""
    net = impl.ResidualNet((2, 2), in_channels=2, classes=5, width=4)
    fw.call(net, fw.images(np.ones((3, 6, 8, 2))))
    return net


@net_level
def test_the_net_knows_all_its_weights_and_only_the_head_has_a_bias(impl, fw):
    net = kept_net(impl, fw)
    for name, wanted in (("stem", ["kernel"]), ("head", ["bias", "kernel"])):
        found = sorted(fw.weights(getattr(net, name)))
        assert found == wanted, f"the weights of {name} should be {wanted}; they are {found}"
    found, wanted = len(fw.parameters(net)), 3 + 3 * 6 + 9 + 2  # stem and its norm, blocks (one projects), head
    assert found == wanted, f"an optimiser would find {found} trainable tensors in the net; its layers have {wanted}"


@net_level
@pytest.mark.parametrize("shape", [(3, 6, 8, 2), (1, 5, 7, 2)], ids=["three_images", "one_image"])
def test_the_net_is_its_stem_its_blocks_and_its_head(impl, fw, rng, shape):
    images, net = rng.standard_normal(shape), kept_net(impl, fw)
    fill(fw, rng, net, ("stem", "stem_norm", "head"))
    for block in net.blocks:
        fill(fw, rng, block)
    assert len(net.blocks) == 4, f"two stages of two blocks make 4 blocks; the net has {len(net.blocks)}"
    for training, mode in ((False, "evaluation"), (True, "training")):
        weights = Weights(fw, net, training)
        x = relu(weights.norm("stem_norm", weights.conv("stem", images)))
        for block, channels, stride in zip(net.blocks, (4, 4, 8, 8), (1, 1, 2, 1), strict=True):
            x = basic(Weights(fw, block, training), x, channels, stride)
        head = fw.weights(net.head)
        expected = x.mean(axis=(1, 2)) @ head["kernel"] + head["bias"]
        fw.close(fw.call(net, fw.images(images), training=training), expected, of=f"logits in {mode} mode", atol=1e-4)
        if not training and fw.name != "torch":
            fw.close(net(fw.images(images)), expected, of="logits where training is not given", atol=1e-4)


@net_level
def test_by_default_the_images_are_grey_and_the_classes_ten(impl, fw, rng):
    net = impl.ResidualNet([1])
    fw.check_shape(fw.call(net, fw.images(rng.standard_normal((2, 3, 4, 1)))), (2, 10), of="logits")
    found = fw.weights(net.stem)["kernel"].shape
    assert found == (3, 3, 1, 16), f"by default the stem has 3 × 3 taps, 1 channel in and 16 out; yours has {found}"


@net_level
@pytest.mark.parametrize("stages", [(), (2, 0), (-1,)], ids=["none", "an_empty_one", "negative"])
def test_a_net_without_blocks_is_refused(impl, fw, stages):
    with pytest.raises(ValueError):
        impl.ResidualNet(stages)


@gradients_level
@every_block
@pytest.mark.parametrize("case", ["same_shape", "half_the_size"])
def test_gradients_pass_through_branch_and_shortcut(impl, fw, rng, name, case):
    shape, _, stride = sizes(name, case)
    block = filled(impl, fw, name, case)
    weights = Weights(fw, block, training=True)

    def by_hand(images):
        images = images.transpose(0, 2, 3, 1) if fw.name == "torch" else images
        return own(fw, FORMULAS[name](weights, images, CHANNELS, stride))

    fw.check_gradients(  # the block computes in float32, hence the tolerance
        lambda images: cast(fw, fw.call(block, cast(fw, images, "float32"), training=True), "float64"),
        by_hand,
        [own(fw, rng.standard_normal(shape))],
        names=["images"],
        rtol=1e-3,
        atol=1e-3,
    )


@gradients_level
@pytest.mark.timeout(60)  # TensorFlow takes seconds to build a hundred layers
def test_the_gradient_survives_a_hundred_layers(impl, fw, rng):
    """How many times larger the gradient is at the shift of one block's last norm than at another's.

    Every scale is set to one, so that the branches speak. Measured over ten seeds in both frameworks: 13 to 98 times,
    and 85 000 to 3.9 million times in the same net without shortcuts.
    """
    images, labels = rng.standard_normal((32, 8, 8, 1)), rng.integers(0, 10, 32)
    net = impl.ResidualNet((17, 16, 16), width=4)
    fw.call(net, fw.images(images))
    found = [fw.weights(block.conv2)["kernel"].shape[-1] for block in net.blocks]
    assert found == [4] * 17 + [8] * 16 + [16] * 16, f"blocks of 4, 8 and 16 channels were asked for, not {found}"

    for block in net.blocks:
        fw.set_weights(block.norm2, {"scale": np.ones_like(fw.weights(block.norm2)["scale"])})
    shifts = [block.norm2.bias if fw.name == "torch" else block.norm2.beta for block in net.blocks]
    arriving = gradients(fw, net, fw.images(images), cross_entropy_slope(labels), shifts)
    assert all(gradient is not None for gradient in arriving), "the gradient does not reach every block"
    norms = [np.linalg.norm(fw.numpy(gradient)) for gradient in arriving]
    assert min(norms) > 0, "the gradient that reaches some block is zero"
    factor, baseline = max(norms) / min(norms), factor_without_shortcuts(rng, images, labels)
    assert baseline > 10_000, f"the net without shortcuts should do worse; its factor is {baseline:.3g}"
    assert factor < 1000, (
        f"the gradient differs by a factor of {factor:.3g} between the blocks; 1000 is allowed, and the same net "
        f"without shortcuts has {baseline:.3g}"
    )


def cross_entropy_slope(labels):
    """The gradient of the mean cross-entropy at the logits, as a function of the logits."""

    def slope(logits):
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (odds / odds.sum(axis=1, keepdims=True) - np.eye(logits.shape[1])[labels]) / len(labels)

    return slope


def factor_without_shortcuts(rng, images, labels):
    """The baseline: the same hundred layers in a row. Compares the first norm's shift with the last one's."""
    channels = [1] + [4] * 35 + [8] * 32 + [16] * 32
    strides = [2 if index in (35, 67) else 1 for index in range(99)]
    kernels = [rng.standard_normal((3, 3, *pair)) for pair in pairwise(channels)]
    head = rng.standard_normal((16, 10)) / 4

    def loss(first, last):
        x = images
        for index, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
            x = convolved(x, kernel, stride)
            x = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5)
            x = relu(x + (first if index == 0 else last if index == 98 else 0))
        logits = x.mean(axis=(1, 2)) @ head
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])

    step = 1e-9  # small: what changes at the first layer changes a hundred thousand times as much at the last

    def slope(first, last):
        return (loss(step * first, step * last) - loss(-step * first, -step * last)) / (2 * step)

    at_first = [slope(rng.standard_normal(4), 0) for _ in range(4)]
    at_last = [slope(0, rng.standard_normal(16)) for _ in range(4)]
    return np.linalg.norm(at_first) / np.linalg.norm(at_last)


@pytest.mark.gpu
@basic_level
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    images = rng.standard_normal((2, 6, 7, CHANNELS))
    block = fill(gpu, rng, made(impl, gpu, "BasicBlock", "half_the_size"))
    output = gpu.call(block, gpu.images(images))
    gpu.check_device(output)
    gpu.close(output, own(gpu, basic(Weights(gpu, block), images, CHANNELS, 2)), of="output", atol=1e-4)
