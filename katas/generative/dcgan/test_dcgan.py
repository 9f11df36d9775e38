"""Levels of the dcgan kata.

Every expected value comes from `drawn` and `judged` below, in float64 NumPy, on the weights that the network under test
holds. Both compute with channels last, and take and return images in the framework's own order of axes.
"""

from functools import cache, partial

import numpy as np
import pytest

from dojo import level
from dojo.testing import data

shapes = level(1, "shapes")
generator_level = level(2, "generator", points=2)
discriminator_level = level(3, "discriminator", points=2)
two_modes = level(4, "two modes", points=2)
start = level(5, "start", points=2)
gradients = level(6, "gradients", points=2)
digits = level(7, "digits", points=2)

LATENT, WIDTH = 7, 5
CASES = {"tiny": (4, 1), "coloured": (8, 3), "odd_quarter": (12, 2)}  # size and channels of the images
every_case = pytest.mark.parametrize("case", CASES)
both_modes = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])


def drawn(fw, weights, noise, training=False):
    """The generator's images."""
    x = np.maximum(normed(first_image(fw, weights, noise), weights["norm1"], training), 0)
    x = np.maximum(normed(doubled(x, weights["up1"]["kernel"]), weights["norm2"], training), 0)
    return fw.own_layout(np.tanh(doubled(x, weights["up2"]["kernel"]) + weights["up2"]["bias"]))


def first_image(fw, weights, noise):
    """What the generator's dense layer makes, as a small image."""
    x, channels = noise @ weights["dense"]["kernel"], weights["norm1"]["scale"].size
    side = int(np.sqrt(x.shape[1] / channels))
    shape = fw.own_layout(np.zeros((side, side, channels))).shape
    return fw.common_layout(x.reshape(-1, *shape))


def judged(fw, weights, images, training=False):
    """The discriminator's logits."""
    x = leaky(normed(second_image(fw, weights, images), weights["norm"], training))
    return fw.own_layout(x).reshape(len(x), -1) @ weights["dense"]["kernel"] + weights["dense"]["bias"]


def second_image(fw, weights, images):
    """What the discriminator's second convolution makes."""
    x = leaky(halved(fw.common_layout(images), weights["down1"]["kernel"]) + weights["down1"]["bias"])
    return halved(x, weights["down2"]["kernel"])


def doubled(x, kernel):
    """Every pixel adds a copy of the kernel, two positions from the next; one position is cut off on each side."""
    batch, height, width, _ = x.shape
    canvas = np.zeros((batch, 2 * height + 2, 2 * width + 2, kernel.shape[2]))
    for row, column in np.ndindex(4, 4):
        canvas[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += x @ kernel[row, column].T
    return canvas[:, 1:-1, 1:-1]


def halved(x, kernel):
    """A window of four at every second position, with one position of zeros on each side."""
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(
        x[:, row : row + height : 2, column : column + width : 2] @ kernel[row, column]
        for row, column in np.ndindex(4, 4)
    )


def normed(x, weights, training):
    mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if training else (weights["mean"], weights["variance"])
    return (x - mean) / np.sqrt(variance + weights["epsilon"]) * weights["scale"] + weights["shift"]


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


LAYERS = {drawn: ("dense", "norm1", "up1", "norm2", "up2"), judged: ("down1", "down2", "norm", "dense")}
FORMULAS = (drawn, judged)  # of the generator and of the discriminator


@cache
def networks(impl, fw, size=8, channels=3, latent=LATENT, width=WIDTH):
    """A generator and a discriminator, called once, as Keras makes weights then. Tests share them."""
    models = [
        fw.to_device(impl.Generator(latent, size, channels=channels, width=width)),
        fw.to_device(impl.Discriminator(size, channels=channels, width=width)),
    ]
    for model, x in zip(models, drawn_inputs(fw, np.random.default_rng(0), 2, size, channels, latent), strict=True):
        fw.call(model, fw.array(x))
    return models


def filled(impl, fw, rng, *case):
    """The two networks with a random number in every weight, the kept statistics included."""
    return [fw.randomise(model, rng) for model in networks(impl, fw, *case)]


def drawn_inputs(fw, rng, batch, size=8, channels=3, latent=LATENT):
    """Noise and images."""
    return rng.standard_normal((batch, latent)), fw.own_layout(rng.uniform(-1, 1, (batch, size, size, channels)))


def weights_of(fw, model, formula):
    """The weights that the formula needs: layer to name to array."""
    found = {}
    for name in LAYERS[formula]:
        layer = getattr(model, name)
        found[name] = {key: value.astype("float64") for key, value in fw.weights(layer).items()}
        if "norm" in name:
            found[name]["epsilon"] = fw.layer_epsilon(layer)
    return found


def check(fw, model, formula, x, of, training=False, rtol=1e-4, atol=1e-4):
    """The model computes the formula of x."""
    expected, tensor = formula(fw, weights_of(fw, model, formula), x, training), fw.array(x)
    fw.close(fw.call(model, tensor, training=training), expected, of, rtol=rtol, atol=atol)
    fw.check_unchanged(tensor, x)


@shapes
@every_case
def test_images_and_logits_have_the_sizes_asked_for(impl, fw, rng, case):
    generator, discriminator = networks(impl, fw, *CASES[case])
    noise, expected = drawn_inputs(fw, rng, 3, *CASES[case])
    images = fw.call(generator, fw.array(noise))
    fw.check_shape(images, expected.shape, of="images")
    fw.check_shape(fw.call(discriminator, images), (3, 1), of="logits")


@shapes
@pytest.mark.parametrize("size", [6, 9, 2, 1, 0, -4])
def test_a_size_that_is_no_positive_multiple_of_four_is_refused(impl, fw, size):
    with pytest.raises(ValueError):
        impl.Generator(LATENT, size)
    with pytest.raises(ValueError):
        impl.Discriminator(size)


@shapes
@every_case
def test_no_weight_is_missing_and_none_is_wasted(impl, fw, case):
    size, channels = CASES[case]
    flat, inner, outer = 2 * WIDTH * (size // 4) ** 2, 16 * 2 * WIDTH * WIDTH, 16 * WIDTH * channels
    expected = LATENT * flat + inner + 6 * WIDTH + outer + channels, outer + WIDTH + inner + 4 * WIDTH + flat + 1
    for model, needed, of in zip(
        networks(impl, fw, *CASES[case]), expected, ("generator", "discriminator"), strict=True
    ):
        numbers = sum(int(np.prod(tensor.shape)) for tensor in fw.parameters(model).values())
        assert numbers == needed, (
            f"for {size} × {size} pixels and {channels} channels the {of} needs {needed} trainable numbers; yours has "
            f"{numbers}. "
            + ("Is there a bias in front of a norm, or a norm too many?" if numbers > needed else "What is missing?")
        )


@shapes
def test_by_default_there_are_three_channels_and_a_width_of_64(impl, fw):
    generator, discriminator = impl.Generator(2, 4), impl.Discriminator(4)
    fw.call(discriminator, fw.call(generator, fw.array(np.zeros((2, 2)))))
    for layer, shape, of in ((generator.up2, (4, 4, 3, 64), "up2"), (discriminator.down1, (4, 4, 3, 64), "down1")):
        found = fw.weights(layer)["kernel"].shape
        assert found == shape, f"by default the kernel of {of} has the shape {shape}, not {found}"


@generator_level
@every_case
def test_the_generator_is_the_formula(impl, fw, rng, case):
    generator, _ = filled(impl, fw, rng, *CASES[case])
    check(fw, generator, drawn, rng.standard_normal((3, LATENT)), of="images")


@generator_level
def test_images_reach_minus_one_and_one_and_no_further(impl, fw, rng):
    generator, _ = filled(impl, fw, rng)
    images = fw.numpy(fw.call(generator, fw.array(1000 * rng.standard_normal((3, LATENT)))))
    assert np.isfinite(images).all(), "for huge noise the images are not finite"
    low, high = images.min(), images.max()
    assert (low, high) == pytest.approx((-1, 1), abs=1e-6), (
        f"for huge noise the images should fill the range from -1 to 1; yours go from {low:.4g} to {high:.4g}"
    )


@discriminator_level
@every_case
def test_the_discriminator_is_the_formula(impl, fw, rng, case):
    _, discriminator = filled(impl, fw, rng, *CASES[case])
    _, images = drawn_inputs(fw, rng, 3, *CASES[case])
    check(fw, discriminator, judged, images, of="logits")


@discriminator_level
@pytest.mark.parametrize("shape", [(9, 9), (7, 7), (12, 12), (8, 12), (16, 4)], ids=str)
def test_images_of_another_size_are_refused(impl, fw, rng, shape):
    _, discriminator = networks(impl, fw)
    with pytest.raises(ValueError):
        fw.call(discriminator, fw.images(rng.standard_normal((2, *shape, 3))))


@two_modes
@every_case
def test_in_training_the_norms_use_the_batch(impl, fw, rng, case):
    models, inputs = filled(impl, fw, rng, *CASES[case]), drawn_inputs(fw, rng, 5, *CASES[case])
    for model, formula, x, of in zip(models, FORMULAS, inputs, ("images", "logits"), strict=True):
        check(fw, model, formula, x, f"{of} in training mode", training=True, rtol=1e-3, atol=1e-3)


@two_modes
def test_training_moves_what_the_norms_keep_and_evaluation_does_not(impl, fw, rng):
    """A norm's kept mean moves by the same share of the way to the batch's in every channel, whatever the share."""
    models, inputs = filled(impl, fw, rng), drawn_inputs(fw, rng, 5)
    entering = (("norm1", first_image), ("norm", second_image))
    for model, formula, x, (norm, makes) in zip(models, FORMULAS, inputs, entering, strict=True):
        before = weights_of(fw, model, formula)
        fw.call(model, fw.array(x), training=False)
        kept = fw.weights(getattr(model, norm))["mean"]
        assert np.array_equal(kept, before[norm]["mean"]), f"a call in evaluation mode moved the mean that {norm} keeps"
        fw.call(model, fw.array(x), training=True)
        moved = fw.weights(getattr(model, norm))["mean"] - before[norm]["mean"]
        way = makes(fw, before, x).mean((0, 1, 2)) - before[norm]["mean"]
        share = moved @ way / (way @ way)
        assert 0.001 < share < 0.999, (
            f"a call in training mode should move the mean that {norm} keeps part of the way to the batch's; it moved "
            f"by {share:.2g} of it"
        )
        fw.close(fw.array(moved), share * way, of=f"how far the mean that {norm} keeps moved", atol=1e-4)


@two_modes
def test_in_evaluation_no_image_depends_on_the_others(impl, fw, rng):
    models, inputs = filled(impl, fw, rng), drawn_inputs(fw, rng, 4)
    for model, x, of in zip(models, inputs, ("image", "logit"), strict=True):
        together = fw.numpy(fw.call(model, fw.array(x)))
        fw.close(fw.call(model, fw.array(x[:1])), together[:1], of=f"the first {of} of a batch of one")
        fw.close(model(fw.array(x)), together, of=f"each {of} where training is not given")


def fresh(impl, fw):
    """The name of every layer of two wide networks, with its weights as they start."""
    models = networks(impl, fw, latent=50, width=64)
    pairs = zip(models, FORMULAS, strict=True)
    return [(name, fw.weights(getattr(model, name))) for model, formula in pairs for name in LAYERS[formula]]


@start
def test_kernels_and_scales_start_as_in_the_paper(impl, fw):
    """The limits are five standard errors of the mean and of the deviation."""
    for name, weights in fresh(impl, fw):
        for key in weights.keys() & {"kernel", "scale"}:
            value, centre = weights[key], float(key == "scale")
            error, of = 0.02 / np.sqrt(value.size), f"the {key} of {name}, {value.size} numbers,"
            assert abs(value.mean() - centre) < 5 * error, f"{of} should have a mean of {centre:g}: {value.mean():.4f}"
            assert abs(value.std() - 0.02) < 5 * error / np.sqrt(2), (
                f"{of} should have a deviation of 0.02; it is {value.std():.4f}"
            )
            tail = np.mean(abs(value - centre) > 0.04)
            assert value.size < 5000 or 0.03 < tail < 0.06, (
                f"{of} should be normal, with 4.6 % beyond two deviations; there are {tail:.1%}"
            )


@start
def test_biases_and_shifts_start_at_zero(impl, fw):
    for name, weights in fresh(impl, fw):
        for key in weights.keys() & {"bias", "shift"}:
            value = weights[key]
            assert np.all(value == 0), f"the {key} of {name} starts at {value.flat[0]:.3g} and so on, not at 0"


@gradients
@both_modes
def test_gradients_reach_the_noise_and_the_images(impl, fw, rng, training):
    """The networks compute in float32, hence the tolerance."""
    models, inputs = filled(impl, fw, rng), drawn_inputs(fw, rng, 4)
    for model, formula, x, of in zip(models, FORMULAS, inputs, ("noise", "images"), strict=True):
        network = partial(fw.call, model, training=training)
        by_hand = partial(formula, fw, weights_of(fw, model, formula), training=training)
        fw.check_gradients(network, by_hand, [x], names=[of], rtol=1e-3, atol=1e-3, dtype="float32")


@gradients
def test_the_gradient_of_every_weight_is_right(impl, fw, rng):
    """Of the logits' weighted sum, through both networks, along a random direction: against finite differences."""
    generator, discriminator = models = filled(impl, fw, rng)
    noise, slope = rng.standard_normal((6, LATENT)), rng.standard_normal((6, 1))
    drawing, judging = kept = [weights_of(fw, *pair) for pair in zip(models, FORMULAS, strict=True)]

    def loss():
        images = fw.call(generator, fw.array(noise), training=True)
        return fw.sum(fw.call(discriminator, images, training=True) * fw.array(slope))

    def by_hand():
        images = drawn(fw, drawing, noise, training=True)
        return np.sum(judged(fw, judging, images, training=True) * slope)

    def difference(weights, key, direction):
        value, ends = weights[key], []
        for step in (1e-5, -1e-5):
            weights[key] = value + step * direction
            ends.append(by_hand())
        weights[key] = value
        return (ends[0] - ends[1]) / 2e-5

    places = [(model, weights, name) for model, weights in zip(models, kept, strict=True) for name in weights]
    found = fw.layer_gradients(loss, [getattr(model, name) for model, _, name in places])
    for (model, weights, name), of_layer in zip(places, found, strict=True):
        for key, gradient in of_layer.items():
            of = f"the {key} of the {type(model).__name__}'s {name}"
            assert gradient is not None, f"no gradient reaches {of}"
            direction = rng.standard_normal(gradient.shape)
            expected, actual = difference(weights[name], key, direction), np.sum(gradient * direction)
            assert abs(actual - expected) <= 1e-3 * (1 + np.linalg.norm(gradient)), (
                f"along a random direction of {of} the logits' sum changes by {expected:.5g}; by your gradient it "
                f"would be {actual:.5g}"
            )


def digits_and_fakes(rng, split):
    """Digits with pixels from -1 to 1, label 1, and as many fakes, label 0: each pixel is that of another digit."""
    real = 2 * data.digits(split)[0] - 1
    fake = np.stack([rng.permutation(pixel) for pixel in real.T], axis=1)
    return np.concatenate([real, fake]).reshape(-1, 8, 8, 1), np.repeat([1, 0], len(real))


def share_told_apart(impl, fw, rng, steps=30, batch=128):
    """Train a discriminator, and return which share of the unseen digits and fakes it judges rightly."""
    images, labels = digits_and_fakes(rng, "train")
    unseen, truth = digits_and_fakes(rng, "test")
    discriminator = fw.to_device(impl.Discriminator(8, channels=1, width=8))
    fw.call(discriminator, fw.images(unseen[:2]))
    optimiser, parameters = fw.adam(discriminator, 0.005), list(fw.parameters(discriminator).values())
    for _ in range(steps):
        chosen = rng.integers(0, len(images), batch)
        x, y = fw.images(images[chosen]), fw.array(labels[chosen])

        def loss(x=x, y=y):
            logits = fw.call(discriminator, x, training=True)
            return fw.cross_entropy(logits * fw.array([[0.0, 1.0]]), y)  # the logit of a fake is 0

        fw.apply_gradients(optimiser, parameters, fw.gradients(loss, parameters))
    return np.mean((fw.numpy(fw.call(discriminator, fw.images(unseen), training=True))[:, 0] > 0) == truth)


def share_of_a_linear_classifier(rng):
    """The baseline: least squares on the pixels. Each pixel alone has the same values in digits and fakes."""
    (images, labels), (unseen, truth) = (digits_and_fakes(rng, split) for split in ("train", "test"))
    images, unseen = (np.c_[x.reshape(-1, 64), np.ones(len(x))] for x in (images, unseen))
    weights = np.linalg.lstsq(images, 2 * labels - 1, rcond=None)[0]
    return np.mean((unseen @ weights > 0) == truth)


@digits
@pytest.mark.timeout(60)
def test_thirty_steps_tell_digits_from_pixels_that_do_not_belong_together(impl, fw, rng):
    """Over ten seeds: right for 94 to 98 % in PyTorch, 92 to 98 % in TensorFlow; a linear classifier 47 to 51 %."""
    baseline = share_of_a_linear_classifier(rng)
    assert baseline < 0.55, f"a linear classifier should be no better than a coin, but has {baseline:.0%}"
    found = share_told_apart(impl, fw, rng)
    assert found > 0.85, (
        f"after 30 steps the discriminator is right for {found:.0%} of the unseen images; a linear classifier, which "
        f"sees no neighbours, is for {baseline:.0%}"
    )


@pytest.mark.gpu
@generator_level
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    models, inputs = filled(impl, gpu, rng), drawn_inputs(gpu, rng, 3)
    gpu.check_device(gpu.call(models[0], gpu.array(inputs[0])), of="images")
    for model, formula, x, of in zip(models, FORMULAS, inputs, ("images", "logits"), strict=True):
        check(gpu, model, formula, x, of)
