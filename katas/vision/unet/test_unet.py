"""Levels of the U-Net kata.

Every expected value comes from the formulas of `double`, `unet_by_hand`, `dice` and `overlap`, in float64 NumPy, on the
weights that the model under test holds. Images are (batch, height, width, channel).
"""

from functools import cache, partial

import numpy as np
import pytest

from dojo import level

shapes = level(1, "shapes")
two_convolutions = level(2, "double")
skip_connections = level(3, "skips", points=3)
any_size = level(4, "any size", points=2)
losses_and_overlap = level(5, "loss", points=2)
gradients = level(6, "gradients", points=2)
learns = level(7, "learns", points=2)

HALVED = {"eight": (2, 8, 12), "smallest": (4, 4, 4)}  # batch, height, width, for a depth of 2
ODD = {"odd": (2, 7, 9), "one_short": (2, 11, 8), "tall": (3, 5, 2), "one_pixel": (3, 1, 1)}


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
    return (x - mean) / np.sqrt(variance + fw.layer_epsilon(layer)) * weights["scale"] + weights["shift"]


def double(fw, block, x, training):
    x = np.maximum(normed(fw, block.norm1, convolved(fw, block.conv1, x), training), 0)
    return np.maximum(normed(fw, block.norm2, convolved(fw, block.conv2, x), training), 0)


def halved(x):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def doubled(fw, layer, x):
    """The transposed 2×2 convolution at stride 2: each pixel becomes a square of its own."""
    weights, (batch, height, width, _) = fw.weights(layer), x.shape
    squares = np.einsum("nijc,kloc->nikjlo", x, weights["kernel"])
    return squares.reshape(batch, 2 * height, 2 * width, -1) + weights["bias"]


def unet_by_hand(fw, net, images, training):
    (height, width), depth = images.shape[1:3], len(net.encoder)
    x = np.pad(images, ((0, 0), (0, -height % 2**depth), (0, -width % 2**depth), (0, 0)))
    skips = []
    for block in net.encoder:
        skips.append(double(fw, block, x, training))
        x = halved(skips[-1])
    x = double(fw, net.bottleneck, x, training)
    for block, up, skip in reversed(list(zip(net.decoder, net.up, skips, strict=True))):
        x = double(fw, block, np.concatenate([doubled(fw, up, x), skip], axis=-1), training)
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


@cache
def made(impl, fw):
    """A net of depth 2 for images of 2 channels, with 3 logits a pixel, a random number in every weight."""
    net = fw.to_device(impl.UNet(2, 3, width=4, depth=2))
    fw.call(net, fw.images(np.ones((1, 4, 4, 2))))
    return fw.randomise(net, np.random.default_rng(0), gain=2)


def check_modes(fw, model, images, by_hand, of, tolerance):
    """In both modes the model gives what the formula says, and leaves the images alone; returns an output."""
    tensor = fw.images(images)
    for training, mode in ((True, "training"), (False, "evaluation")):
        expected = fw.own_layout(by_hand(fw, model, images, training))
        output = fw.call(model, tensor, training=training)
        fw.close(output, expected, of=f"{of} in {mode} mode", rtol=tolerance, atol=tolerance)
        fw.check_unchanged(tensor, fw.own_layout(images), of="images")
    fw.close(model(tensor), expected, of=f"{of} where training is not named", rtol=tolerance, atol=tolerance)
    return output


def check_net(impl, fw, rng, places):
    return check_modes(fw, made(impl, fw), rng.standard_normal((*places, 2)), unet_by_hand, "logits", tolerance=1e-3)


def drawn_targets(rng, shape):
    """Random areas; the first image's first channel has none."""
    targets = (rng.random(shape) < 0.4).astype(float)
    targets[0, ..., 0] = 0
    return targets


@shapes
def test_the_logits_have_the_size_of_the_images(impl, fw, rng):
    net = made(impl, fw)
    for height, width in ((8, 8), (7, 8), (13, 6), (1, 1), (2, 3)):
        logits = fw.call(net, fw.images(rng.standard_normal((2, height, width, 2))))
        expected = fw.own_layout(np.zeros((2, height, width, 3))).shape
        fw.check_shape(logits, expected, of=f"logits of {height} × {width} pixels")


@shapes
def test_no_weight_is_missing_and_none_is_wasted(impl, fw):
    net = impl.UNet()
    fw.call(net, fw.images(np.ones((1, 9, 8, 1))))

    def block(before, after):
        return 9 * before * after + 9 * after**2 + 4 * after

    expected = block(1, 16) + block(16, 32) + block(32, 64) + block(64, 128)
    expected += sum(4 * 2 * width * width + width + block(2 * width, width) for width in (16, 32, 64)) + 16 + 1
    found = sum(int(np.prod(tensor.shape)) for tensor in fw.parameters(net).values())
    told = "Is there a bias before a norm?" if found > expected else "Is a layer missing, or too narrow?"
    assert found == expected, f"width 16 and depth 3 make {expected} trainable numbers; yours has {found}. {told}"


@shapes
def test_a_net_of_one_level(impl, fw, rng):
    net = impl.UNet(1, 2, width=3, depth=1)
    logits = fw.call(net, fw.images(rng.standard_normal((1, 3, 2, 1))))
    fw.check_shape(logits, fw.own_layout(np.zeros((1, 3, 2, 2))).shape, of="logits of a net of depth 1")


@shapes
def test_a_net_without_levels_is_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.UNet(depth=0)


@two_convolutions
@pytest.mark.parametrize(
    ("shape", "channels"),
    [((2, 5, 6, 3), 4), ((5, 1, 1, 2), 2), ((1, 4, 3, 1), 3)],
    ids=["wider", "pixel", "one_image"],
)
def test_two_convolutions_with_norm_and_relu(impl, fw, rng, shape, channels):
    images, block = rng.standard_normal(shape), impl.DoubleConv(shape[-1], channels)
    fw.call(block, fw.images(images))
    check_modes(fw, fw.randomise(block, rng, gain=2), images, double, "output", tolerance=1e-4)


@two_convolutions
def test_the_norms_forget_a_tenth_at_each_step(impl, fw, rng):
    """As PyTorch's do by default, and Keras's with momentum=0.9."""
    images, block = 1 + rng.standard_normal((3, 4, 4, 2)), impl.DoubleConv(2, 3)
    fw.call(block, fw.images(images))
    fw.randomise(block, rng, gain=2)
    before = [fw.weights(norm)["mean"] for norm in (block.norm1, block.norm2)]
    first = convolved(fw, block.conv1, images)
    second = convolved(fw, block.conv2, np.maximum(normed(fw, block.norm1, first, training=True), 0))
    fw.call(block, fw.images(images), training=True)
    for name, old, seen in zip(("norm1", "norm2"), before, (first, second), strict=True):
        expected, found = 0.9 * old + 0.1 * seen.mean(axis=(0, 1, 2)), fw.weights(getattr(block, name))["mean"]
        told = f"after one step {name} should keep 0.9 of its old means and add 0.1 of the batch's: {expected.round(4)}"
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-4), f"{told}, not {found.round(4)}"


@skip_connections
@pytest.mark.parametrize("places", HALVED.values(), ids=HALVED)
def test_each_level_joins_what_comes_up_with_what_was_kept(impl, fw, rng, places):
    check_net(impl, fw, rng, places)


@any_size
@pytest.mark.parametrize("places", ODD.values(), ids=ODD)
def test_every_size_is_padded_halved_and_cut_back(impl, fw, rng, places):
    check_net(impl, fw, rng, places)


@losses_and_overlap
@pytest.mark.parametrize("smooth", [1.0, 0.1])
@pytest.mark.parametrize("shape", [(3, 5, 4, 2), (1, 1, 1, 1), (2, 7, 3, 1)], ids=["some", "one_pixel", "odd"])
def test_the_loss_of_each_image_and_channel(impl, fw, rng, shape, smooth):
    logits, targets = 3 * rng.standard_normal(shape), drawn_targets(rng, shape)
    expected = dice(logits, targets, smooth)
    fw.close(impl.dice_loss(fw.images(logits), fw.images(targets), smooth), expected, of="loss")
    if smooth == 1:
        fw.close(impl.dice_loss(fw.images(logits), fw.images(targets)), expected, of="loss by default")


@losses_and_overlap
def test_an_empty_target_that_is_left_empty_costs_nothing(impl, fw):
    nothing = fw.images(np.full((2, 3, 3, 1), -1000.0))
    fw.close(impl.dice_loss(nothing, fw.images(np.zeros((2, 3, 3, 1)))), 0.0, of="loss of nothing found in nothing")


@losses_and_overlap
@pytest.mark.parametrize("shape", [(3, 5, 4, 2), (4, 1, 1, 1)], ids=["some", "one_pixel"])
def test_intersection_over_union(impl, fw, rng, shape):
    logits, targets = rng.standard_normal(shape) + 0.3, drawn_targets(rng, shape)
    logits[0, ..., 0] = -1  # nothing found, and nothing to find
    logits[1, 0, 0, 0] = 0  # a probability of one half is not above one half
    targets[1, 0, 0, 0] = 0
    logits[2, 0, 0, 0] = targets[2, 0, 0, 0] = 1
    found = impl.iou(fw.images(logits), fw.images(targets))
    fw.close(found, overlap(logits > 0, targets > 0), of="intersection over union")


@losses_and_overlap
def test_the_loss_keeps_float64_and_the_measure_is_float32(impl, fw, rng):
    logits, targets = rng.standard_normal((2, 3, 4, 2)), drawn_targets(rng, (2, 3, 4, 2))
    given = [fw.images(array, "float64") for array in (logits, targets)]
    fw.close(impl.dice_loss(*given), dice(logits, targets), of="loss of float64", dtype="float64")
    fw.close(impl.iou(*given), overlap(logits > 0, targets > 0), of="intersection over union of float64")


@gradients
def test_gradients_of_the_loss(impl, fw, rng):
    logits, targets = rng.standard_normal((3, 4, 5, 2)), drawn_targets(rng, (3, 4, 5, 2))
    fixed = fw.images(targets, "float64")

    def by_hand(logits):
        return dice(fw.common_layout(logits), targets)

    fw.check_gradients(lambda logits: impl.dice_loss(logits, fixed), by_hand, [fw.own_layout(logits)], names=["logits"])


@gradients
def test_huge_logits_have_finite_gradients(impl, fw):
    logits, targets = np.array([[-1000.0, 1000.0, -1000.0, 1000.0], [0, 1, 1, 0]]).reshape(2, 1, 2, 2, 1)
    tensor, fixed = fw.images(logits, "float64"), fw.images(targets, "float64")
    (gradient,) = fw.gradients(lambda: impl.dice_loss(tensor, fixed), [tensor])
    finite = gradient is not None and np.all(np.isfinite(gradient))
    assert finite, f"at logits of 1000 and -1000 the gradient of the loss is {gradient}; it must be finite"


@gradients
def test_a_gradient_comes_back_through_every_skip_and_level(impl, fw, rng):
    net = made(impl, fw)
    weights = fw.parameters(net)
    images, targets = fw.images(rng.standard_normal((3, 7, 9, 2))), fw.images(drawn_targets(rng, (3, 7, 9, 3)))
    found = fw.gradients(lambda: impl.dice_loss(fw.call(net, images, training=True), targets), weights.values())
    for name, gradient in zip(weights, found, strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)), f"no finite gradient reaches {name}"

    def by_hand(images):
        return fw.own_layout(unet_by_hand(fw, net, fw.common_layout(images), training=False))

    images = fw.own_layout(rng.standard_normal((1, 7, 6, 2)))
    fw.check_gradients(partial(fw.call, net), by_hand, [images], ["images"], rtol=3e-3, atol=1e-3, dtype="float32")


@learns
@pytest.mark.timeout(60)
def test_the_first_step_moves_the_weights_by_the_learning_rate(impl, fw, rng):
    """As Adam's first step does, where the gradient is not tiny. By default the rate is 0.01."""
    images, targets = fw.images(rng.standard_normal((4, 4, 4, 1))), fw.images(drawn_targets(rng, (4, 4, 4, 1)))
    net = impl.UNet(width=2, depth=1)
    fw.call(net, images)
    before = {name: fw.numpy(tensor) for name, tensor in fw.parameters(net).items()}
    impl.train(net, images, targets, 1)
    largest = max(np.abs(fw.numpy(tensor) - before[name]).max() for name, tensor in fw.parameters(net).items())
    assert np.isclose(largest, 0.01, rtol=0.05), f"one step of Adam moves a weight by 0.01, not by {largest:.4g}"


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
    """Over ten seeds in both frameworks the mean intersection over union is 0.84 to 0.93.

    The best of all thresholds on the brightness, chosen on the very images that it is tried on, has 0.54 to 0.57.
    """
    images, inside = drawn_shapes(rng, 16, 22, 19)
    others, wanted = drawn_shapes(rng, 16, 21, 27)
    net, steps = impl.UNet(width=8, depth=2), 40
    fw.call(net, fw.images(images[:1]))
    first = dice(unet_by_hand(fw, net, images, training=True), inside)
    losses = impl.train(net, fw.images(images), fw.images(inside.astype(float)), steps, learning_rate=0.02)
    floats = len(losses) == steps and all(isinstance(loss, float) for loss in losses)
    assert floats, f"expected the loss of each of {steps} steps, as Python floats"
    assert np.isclose(losses[0], first, rtol=1e-3), f"the first loss is {losses[0]:.4f}; in training mode {first:.4f}"
    assert losses[-1] < 0.5, f"the loss goes from {losses[0]:.2f} to {losses[-1]:.2f}: it should fall below 0.5"
    reached = overlap(fw.images_numpy(fw.call(net, fw.images(others))) > 0, wanted).mean()
    baseline = max(overlap(others > threshold, wanted).mean() for threshold in np.linspace(-4, 4, 81))
    assert baseline < 0.65, f"a threshold on the brightness should do worse; it reaches {baseline:.2f}"
    assert reached > 0.75, f"on new images prediction and shape overlap by {reached:.2f}; 0.75 is asked for"


@pytest.mark.gpu
@any_size
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    gpu.check_device(check_net(impl, gpu, rng, (2, 7, 9)))
