"""Levels of the U-Net kata.

Every expected value comes from the formulas of `double` and `unet_by_hand`, `dice` and `overlap` below, in float64
NumPy, on the weights that the model under test holds. Images are written as (batch, height, width, channel).
"""

from functools import cache

import numpy as np
import pytest

from dojo import level

shapes = level(1, "shapes")
double_level = level(2, "double")
skips_level = level(3, "skips", points=3)
any_size = level(4, "any size", points=2)
loss_level = level(5, "loss", points=2)
gradients_level = level(6, "gradients", points=2)
learns = level(7, "learns", points=2)

HALVED = {"eight": (2, 8, 12), "smallest": (4, 4, 4)}  # batch, height, width, for a depth of 2
ODD = {"odd": (2, 7, 9), "one_short": (2, 11, 8), "tall": (3, 5, 2), "one_pixel": (3, 1, 1)}


# ---------------------------------------------------------------- the formulas


def relu(x):
    return np.maximum(x, 0)


def convolved(fw, layer, x):
    """A 3×3 convolution that keeps the size."""
    kernel, (height, width) = fw.weights(layer)["kernel"], x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(x[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))


def normed(fw, layer, x, training):
    weights = fw.weights(layer)
    mean, variance = weights["mean"], weights["variance"]
    if training:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    epsilon = layer.eps if fw.name == "torch" else layer.epsilon
    return (x - mean) / np.sqrt(variance + epsilon) * weights["scale"] + weights["shift"]


def double(fw, block, x, training):
    x = relu(normed(fw, block.norm1, convolved(fw, block.conv1, x), training))
    return relu(normed(fw, block.norm2, convolved(fw, block.conv2, x), training))


def halved(x):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def doubled(fw, layer, x):
    """The transposed 2×2 convolution at stride 2: each pixel becomes a square of its own."""
    weights, (batch, height, width, _) = fw.weights(layer), x.shape
    squares = np.einsum("nijc,kloc->nikjlo", x, weights["kernel"])
    return squares.reshape(batch, 2 * height, 2 * width, -1) + weights["bias"]


def unet_by_hand(fw, net, images, depth, training):
    height, width = images.shape[1:3]
    x = np.pad(images, ((0, 0), (0, -height % 2**depth), (0, -width % 2**depth), (0, 0)))
    skips = []
    for block in net.encoder:
        skips.append(double(fw, block, x, training))
        x = halved(skips[-1])
    x = double(fw, net.bottleneck, x, training)
    for i in reversed(range(depth)):
        x = double(fw, net.decoder[i], np.concatenate([doubled(fw, net.up[i], x), skips[i]], axis=-1), training)
    head = fw.weights(net.head)
    return (x @ head["kernel"][0, 0] + head["bias"])[:, :height, :width]


def dice(logits, targets, smooth=1.0):
    inside = 1 / (1 + np.exp(-logits))
    both, total = (inside * targets).sum(axis=(1, 2)), (inside + targets).sum(axis=(1, 2))
    return np.mean(1 - (2 * both + smooth) / (total + smooth))


def overlap(inside, targets):
    """Intersection over union of each image and channel, of boolean arrays."""
    both, either = (inside & targets).sum(axis=(1, 2)), (inside | targets).sum(axis=(1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


# ---------------------------------------------------------------- nets to test


def fill(fw, layer):
    """Put random numbers into every weight, the stored statistics included."""
    rng, weights = np.random.default_rng(0), {}
    for name, old in fw.weights(layer).items():
        if name == "kernel":
            weights[name] = 2 * rng.standard_normal(old.shape) / np.sqrt(old.size / max(1, old.shape[-1]))
        elif name in ("scale", "variance"):
            weights[name] = rng.uniform(0.5, 1.5, old.shape)
        else:
            weights[name] = rng.standard_normal(old.shape) / 2
    fw.set_weights(layer, weights)


def fill_double(fw, block):
    for name in ("conv1", "norm1", "conv2", "norm2"):
        fill(fw, getattr(block, name))


@cache
def made(impl, fw):
    """A net of depth 2 for images of 2 channels, with 3 logits a pixel, a random number in every weight."""
    net = impl.UNet(2, 3, width=4, depth=2)
    if fw.name == "torch":
        net.to(fw.device)
    fw.call(net, fw.images(np.ones((1, 4, 4, 2))))
    for block in [*net.encoder, net.bottleneck, *net.decoder]:
        fill_double(fw, block)
    for layer in [*net.up, net.head]:
        fill(fw, layer)
    return net


def own(fw, images):
    """Images in the framework's order of axes."""
    return images.transpose(0, 3, 1, 2) if fw.name == "torch" else images


def check_net(impl, fw, rng, places):
    images, net = rng.standard_normal((*places, 2)), made(impl, fw)
    for training, mode in ((True, "training"), (False, "evaluation")):
        expected = unet_by_hand(fw, net, images, 2, training)
        tensor = fw.images(images)
        logits = fw.call(net, tensor, training=training)
        fw.close(logits, own(fw, expected), of=f"logits in {mode} mode", rtol=1e-3, atol=1e-3)
        fw.check_unchanged(tensor, own(fw, images), of="images")
    if fw.name == "tensorflow":
        fw.close(net(tensor), own(fw, expected), of="logits where training is not named", rtol=1e-3, atol=1e-3)


def drawn_targets(rng, shape):
    """Random areas; the first image's first channel has none."""
    targets = (rng.random(shape) < 0.4).astype(float)
    targets[0, ..., 0] = 0
    return targets


def each(cases):
    return pytest.mark.parametrize("places", cases.values(), ids=list(cases))


# ---------------------------------------------------------------- levels


@shapes
def test_the_logits_have_the_size_of_the_images(impl, fw, rng):
    net = made(impl, fw)
    for height, width in ((8, 8), (7, 8), (13, 6), (1, 1), (2, 3)):
        logits = fw.call(net, fw.images(rng.standard_normal((2, height, width, 2))))
        fw.check_shape(
            logits, own(fw, np.zeros((2, height, width, 3))).shape, of=f"logits of {height} × {width} pixels"
        )


@shapes
def test_no_weight_is_missing_and_none_is_wasted(impl, fw):
    net = impl.UNet()
    fw.call(net, fw.images(np.ones((1, 9, 8, 1))))

    def block(before, after):
        return 9 * before * after + 9 * after**2 + 4 * after

    expected = block(1, 16) + block(16, 32) + block(32, 64) + block(64, 128)
    expected += sum(4 * 2 * width * width + width + block(2 * width, width) for width in (16, 32, 64)) + 16 + 1
    found = sum(int(np.prod(tensor.shape)) for tensor in fw.parameters(net).values())
    assert found == expected, (
        f"by default a net of width 16 and depth 3 has {expected} trainable numbers; yours has {found}. "
        + ("Is there a bias before a norm?" if found > expected else "Is a layer missing, or too narrow?")
    )


@shapes
def test_a_net_of_one_level(impl, fw, rng):
    net = impl.UNet(1, 2, width=3, depth=1)
    logits = fw.call(net, fw.images(rng.standard_normal((1, 3, 2, 1))))
    fw.check_shape(logits, own(fw, np.zeros((1, 3, 2, 2))).shape, of="logits of a net of depth 1")


@shapes
def test_a_net_without_levels_is_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.UNet(depth=0)


@double_level
@pytest.mark.parametrize(
    ("shape", "channels"),
    [((2, 5, 6, 3), 4), ((5, 1, 1, 2), 2), ((1, 4, 3, 1), 3)],
    ids=["wider", "pixel", "one_image"],
)
def test_two_convolutions_with_norm_and_relu(impl, fw, rng, shape, channels):
    images, block = rng.standard_normal(shape), impl.DoubleConv(shape[-1], channels)
    tensor = fw.images(images)
    fw.call(block, tensor)
    fill_double(fw, block)
    for training, mode in ((True, "training"), (False, "evaluation")):
        expected = double(fw, block, images, training)
        fw.close(fw.call(block, tensor, training=training), own(fw, expected), of=f"output in {mode} mode", atol=1e-4)
    if fw.name == "tensorflow":
        fw.close(block(tensor), expected, of="output where training is not named", atol=1e-4)
    fw.check_unchanged(tensor, own(fw, images), of="images")


@double_level
def test_the_norms_forget_a_tenth_at_each_step(impl, fw, rng):
    """As PyTorch's do by default, and Keras's with momentum=0.9."""
    images, block = 1 + rng.standard_normal((3, 4, 4, 2)), impl.DoubleConv(2, 3)
    fw.call(block, fw.images(images))
    fill_double(fw, block)
    before = [fw.weights(norm)["mean"] for norm in (block.norm1, block.norm2)]
    first = convolved(fw, block.conv1, images)
    second = convolved(fw, block.conv2, relu(normed(fw, block.norm1, first, training=True)))
    fw.call(block, fw.images(images), training=True)
    for name, old, seen in zip(("norm1", "norm2"), before, (first, second), strict=True):
        expected, found = 0.9 * old + 0.1 * seen.mean(axis=(0, 1, 2)), fw.weights(getattr(block, name))["mean"]
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-4), (
            f"after one step {name} should keep 0.9 of its old means and add 0.1 of the batch's: {expected.round(4)}, "
            f"not {found.round(4)}"
        )


@skips_level
@each(HALVED)
def test_each_level_joins_what_comes_up_with_what_was_kept(impl, fw, rng, places):
    check_net(impl, fw, rng, places)


@any_size
@each(ODD)
def test_every_size_is_padded_halved_and_cut_back(impl, fw, rng, places):
    check_net(impl, fw, rng, places)


@loss_level
@pytest.mark.parametrize("smooth", [1.0, 0.1])
@pytest.mark.parametrize("shape", [(3, 5, 4, 2), (1, 1, 1, 1), (2, 7, 3, 1)], ids=["some", "one_pixel", "odd"])
def test_the_loss_of_each_image_and_channel(impl, fw, rng, shape, smooth):
    logits, targets = 3 * rng.standard_normal(shape), drawn_targets(rng, shape)
    expected = dice(logits, targets, smooth)
    fw.close(impl.dice_loss(fw.images(logits), fw.images(targets), smooth), expected, of="loss")
    if smooth == 1:
        fw.close(impl.dice_loss(fw.images(logits), fw.images(targets)), expected, of="loss by default")


@loss_level
def test_an_empty_target_that_is_left_empty_costs_nothing(impl, fw):
    nothing = fw.images(np.full((2, 3, 3, 1), -1000.0))
    fw.close(impl.dice_loss(nothing, fw.images(np.zeros((2, 3, 3, 1)))), 0.0, of="loss of nothing found in nothing")


@loss_level
@pytest.mark.parametrize("shape", [(3, 5, 4, 2), (4, 1, 1, 1)], ids=["some", "one_pixel"])
def test_intersection_over_union(impl, fw, rng, shape):
    logits, targets = rng.standard_normal(shape) + 0.3, drawn_targets(rng, shape)
    logits[0, ..., 0] = -1  # nothing found, and nothing to find
    logits[1, 0, 0, 0] = 0  # a probability of one half is not above one half
    targets[1, 0, 0, 0] = 0
    logits[2, 0, 0, 0] = targets[2, 0, 0, 0] = 1
    expected = overlap(logits > 0, targets > 0)
    fw.close(impl.iou(fw.images(logits), fw.images(targets)), expected, of="intersection over union")


@loss_level
def test_the_loss_keeps_float64_and_the_measure_is_float32(impl, fw, rng):
    logits, targets = rng.standard_normal((2, 3, 4, 2)), drawn_targets(rng, (2, 3, 4, 2))
    given = [fw.array(own(fw, array), "float64") for array in (logits, targets)]
    fw.close(impl.dice_loss(*given), dice(logits, targets), of="loss of float64", dtype="float64")
    fw.close(impl.iou(*given), overlap(logits > 0, targets > 0), of="intersection over union of float64")


@gradients_level
def test_gradients_of_the_loss(impl, fw, rng):
    logits, targets = rng.standard_normal((3, 4, 5, 2)), drawn_targets(rng, (3, 4, 5, 2))
    fixed = fw.array(own(fw, targets), "float64")

    def by_hand(logits):
        return dice(logits.transpose(0, 2, 3, 1) if fw.name == "torch" else logits, targets)

    fw.check_gradients(lambda logits: impl.dice_loss(logits, fixed), by_hand, [own(fw, logits)], names=["logits"])


@gradients_level
def test_huge_logits_have_finite_gradients(impl, fw):
    logits = np.array([-1000.0, 1000.0, -1000.0, 1000.0]).reshape(1, 2, 2, 1)
    targets = np.array([0.0, 1.0, 1.0, 0.0]).reshape(1, 2, 2, 1)
    tensor, fixed = fw.array(own(fw, logits), "float64"), fw.array(own(fw, targets), "float64")
    gradient = gradients(fw, [tensor], lambda: impl.dice_loss(tensor, fixed))[0]
    assert gradient is not None and np.all(np.isfinite(fw.numpy(gradient))), (
        f"at logits of 1000 and -1000 the gradient of the loss is {gradient}; it must be finite"
    )


@gradients_level
def test_a_gradient_comes_back_through_every_skip_and_level(impl, fw, rng):
    net = made(impl, fw)
    weights = dict(fw.parameters(net))
    images, targets = fw.images(rng.standard_normal((3, 7, 9, 2))), fw.images(drawn_targets(rng, (3, 7, 9, 3)))
    found = gradients(fw, list(weights.values()), lambda: impl.dice_loss(fw.call(net, images, training=True), targets))
    for name, gradient in zip(weights, found, strict=True):
        assert gradient is not None, f"no gradient reaches {name}"
        assert np.all(np.isfinite(fw.numpy(gradient))), f"the gradient of {name} is not finite"

    def by_hand(images):
        images = images.transpose(0, 2, 3, 1) if fw.name == "torch" else images
        return own(fw, unet_by_hand(fw, net, images, 2, training=False))

    fw.check_gradients(  # the net computes in float32, hence the tolerance
        lambda images: cast(fw, fw.call(net, cast(fw, images, "float32")), "float64"),
        by_hand,
        [own(fw, rng.standard_normal((1, 7, 6, 2)))],
        names=["images"],
        rtol=3e-3,
        atol=1e-3,
    )


def gradients(fw, tensors, loss):
    """How the loss changes with each tensor or weight."""
    if fw.name == "torch":
        import torch

        for tensor in tensors:
            tensor.requires_grad_()
        return torch.autograd.grad(loss(), tensors, allow_unused=True)
    import tensorflow as tf

    tensors = [getattr(tensor, "value", tensor) for tensor in tensors]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = loss()
    return tape.gradient(value, tensors)


def cast(fw, tensor, dtype):
    if fw.name == "torch":
        return tensor.to(fw.array(0.0, dtype).dtype)
    import tensorflow as tf

    return tf.cast(tensor, dtype)


@learns
@pytest.mark.timeout(60)
def test_the_first_step_moves_the_weights_by_the_learning_rate(impl, fw, rng):
    """As Adam's first step does, where the gradient is not tiny. By default the rate is 0.01."""
    images, targets = fw.images(rng.standard_normal((4, 4, 4, 1))), fw.images(drawn_targets(rng, (4, 4, 4, 1)))
    net = impl.UNet(width=2, depth=1)
    fw.call(net, images)
    before = {name: fw.numpy(tensor) for name, tensor in fw.parameters(net).items()}
    impl.train(net, images, targets, 1)
    after = fw.parameters(net)
    largest = max(np.abs(fw.numpy(after[name]) - old).max() for name, old in before.items())
    assert np.isclose(largest, 0.01, rtol=0.05), (
        f"one step at learning rate 0.01 moves a weight by {largest:.4g} at most; Adam's first moves it by 0.01"
    )


def drawn_shapes(rng, count, height, width):
    """Images of noise, brighter inside one ellipse or rectangle, and where that is."""
    rows, columns = np.mgrid[:height, :width]
    inside = np.zeros((count, height, width, 1), bool)
    for mask in inside:
        (y, x), (a, b) = rng.uniform(0.25, 0.75, 2) * (height, width), rng.uniform(0.15, 0.35, 2) * (height, width)
        ellipse = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1
        rectangle = (abs(rows - y) <= a) & (abs(columns - x) <= b)
        mask[..., 0] = ellipse if rng.random() < 0.5 else rectangle
    return 2 * inside + rng.standard_normal(inside.shape), inside


@learns
@pytest.mark.timeout(120)  # an eager loop in TensorFlow is slow
def test_shapes_in_noise_are_found(impl, fw, rng):
    """Trained on 16 images of 22 × 19 pixels, tried on 16 others of 21 × 27.

    Over ten seeds in both frameworks the mean intersection over union is 0.84 to 0.93. The baseline knows a pixel's
    brightness alone: the best of all thresholds, chosen on the very images that it is tried on, reaches 0.54 to 0.57.
    """
    images, inside = drawn_shapes(rng, 16, 22, 19)
    others, wanted = drawn_shapes(rng, 16, 21, 27)
    net, steps = impl.UNet(width=8, depth=2), 40
    fw.call(net, fw.images(images[:1]))
    first = dice(unet_by_hand(fw, net, images, 2, training=True), inside)
    losses = impl.train(net, fw.images(images), fw.images(inside.astype(float)), steps, learning_rate=0.02)
    assert len(losses) == steps and all(isinstance(loss, float) for loss in losses), (
        f"expected the loss of each of {steps} steps, as Python floats"
    )
    assert np.isclose(losses[0], first, rtol=1e-3), (
        f"before the first step the loss is {first:.4f} in training mode; yours begins with {losses[0]:.4f}"
    )
    assert losses[-1] < 0.5, f"the loss goes from {losses[0]:.2f} to {losses[-1]:.2f}: it should fall below 0.5"
    found = fw.images_numpy(fw.call(net, fw.images(others))) > 0
    reached = overlap(found, wanted).mean()
    baseline = max(overlap(others > threshold, wanted).mean() for threshold in np.linspace(-4, 4, 81))
    assert baseline < 0.65, f"a threshold on the brightness should do worse; it reaches {baseline:.2f}"
    assert reached > 0.75, (
        f"on images not trained on, prediction and shape overlap by {reached:.2f}; 0.75 is asked for, and a threshold "
        f"on the brightness reaches {baseline:.2f}"
    )


@pytest.mark.gpu
@any_size
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    images, net = rng.standard_normal((2, 7, 9, 2)), made(impl, gpu)
    logits = gpu.call(net, gpu.images(images))
    gpu.check_device(logits)
    gpu.close(logits, own(gpu, unet_by_hand(gpu, net, images, 2, training=False)), of="logits", rtol=1e-3, atol=1e-3)
