"""Levels of the gan_training kata. Expected values come from float64 NumPy: formulas, and the chain rule by hand."""

from itertools import pairwise

import numpy as np
import pytest

from dojo import level

networks = level(1, "the networks")
losses_level = level(2, "the losses", points=2)
discriminators_turn = level(3, "the discriminator's turn", points=2)
generators_turn = level(4, "the generator's turn", points=2)
modes_counted = level(5, "modes counted")
ring_level = level(6, "the ring", points=3)
digits_level = level(7, "digits", points=2)

KINDS = ("non_saturating", "least_squares")
LAYERS = ("first", "second", "last")
every_kind = pytest.mark.parametrize("kind", KINDS)

# -------------------------------------------------------------------- the oracle


def run(weights, x, bounded=False):
    """The output of a net of three layers, and what the way back needs."""
    tape = []
    for name in LAYERS:
        z = x @ weights[name]["kernel"] + weights[name]["bias"]
        slope = np.where(z > 0, 1.0, 0.2) if name != "last" else 1 - np.tanh(z) ** 2 if bounded else np.ones_like(z)
        tape.append((name, x, slope))
        x = z * slope if name != "last" else np.tanh(z) if bounded else z
    return x, tape


def go_back(weights, tape, back):
    """The gradient of every weight and of the input, from that of the output."""
    slopes = {}
    for name, x, slope in reversed(tape):
        back = back * slope
        slopes[name] = {"kernel": x.T @ back, "bias": back.sum(axis=0)}
        back = back @ weights[name]["kernel"].T
    return slopes, back


def judged(real, fake, kind):
    """The discriminator's loss, and its slope at both logits."""
    if kind == "least_squares":
        loss = np.mean((real - 1) ** 2) / 2 + np.mean(fake**2) / 2
        return loss, (real - 1) / real.size, fake / fake.size
    loss = np.mean(np.logaddexp(0, -real)) + np.mean(np.logaddexp(0, fake))
    return loss, -sigmoid(-real) / real.size, sigmoid(fake) / fake.size


def made(fake, kind):
    """The generator's loss, and its slope at the logits."""
    if kind == "least_squares":
        return np.mean((fake - 1) ** 2) / 2, (fake - 1) / fake.size
    return np.mean(np.logaddexp(0, -fake)), -sigmoid(-fake) / fake.size


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))


def covered(samples, centres, radius, share):
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    belongs = np.where(distances.min(axis=1) <= radius, distances.argmin(axis=1), -1)
    return sum(np.mean(belongs == mode) >= share for mode in range(len(centres)))


# -------------------------------------------------------------------- players and their weights


def weights_of(fw, model):
    return {
        name: {key: value.astype("float64") for key, value in fw.weights(getattr(model, name)).items()}
        for name in LAYERS
    }


def fill(fw, rng, model):
    for name in LAYERS:
        layer = getattr(model, name)
        fw.set_weights(layer, {key: rng.standard_normal(old.shape) / 2 for key, old in fw.weights(layer).items()})
    return model


def players(impl, fw, latent, hidden, features, bounded=False):
    """A generator and a discriminator that have been called once: Keras makes weights then."""
    generator = impl.Generator(latent, hidden, features, bounded=bounded)
    discriminator = impl.Discriminator(features, hidden)
    discriminator(generator(fw.array(np.zeros((2, latent)))))
    return generator, discriminator


def descent(fw, model):
    """Plain gradient descent, by 0.1."""
    if fw.name == "torch":
        from torch.optim import SGD

        return SGD(model.parameters(), lr=0.1)
    from keras.optimizers import SGD

    return SGD(learning_rate=0.1)


def leave_gradients(fw, *models):
    """Something from before in every .grad, which no step may use."""
    if fw.name == "torch":
        for model in models:
            for parameter in model.parameters():
                parameter.grad = parameter.detach() + 1


def check_moved(fw, model, before, slopes, of):
    for name in LAYERS:
        for key in ("kernel", "bias"):
            expected = before[name][key] - 0.1 * slopes[name][key]
            fw.close(fw.array(fw.weights(getattr(model, name))[key]), expected, of=f"{of}.{name}'s {key}", atol=1e-4)


def check_stayed(fw, model, before, of):
    for name in LAYERS:
        for key in ("kernel", "bias"):
            found = fw.weights(getattr(model, name))[key]
            assert np.array_equal(found, before[name][key]), f"the step moved the {key} of the {of}'s layer {name}"


def check_widths(fw, model, *widths):
    for name, expected in zip(LAYERS, pairwise(widths), strict=True):
        found = fw.weights(getattr(model, name))["kernel"].shape
        assert found == expected, f"the layer {name} should go from {expected[0]} to {expected[1]} numbers, not {found}"


# -------------------------------------------------------------------- 1 the networks


@networks
@pytest.mark.parametrize("bounded", [False, True], ids=["free", "bounded"])
def test_the_generator_is_the_formula(impl, fw, rng, bounded):
    generator = fill(fw, rng, players(impl, fw, 3, 5, 2, bounded)[0])
    check_widths(fw, generator, 3, 5, 5, 2)
    noise = rng.standard_normal((7, 3))
    fw.close(generator(fw.array(noise)), run(weights_of(fw, generator), noise, bounded)[0], of="points")


@networks
def test_the_discriminator_is_the_formula(impl, fw, rng):
    discriminator = fill(fw, rng, players(impl, fw, 3, 5, 2)[1])
    check_widths(fw, discriminator, 2, 5, 5, 1)
    points = rng.standard_normal((7, 2))
    fw.close(discriminator(fw.array(points)), run(weights_of(fw, discriminator), points)[0], of="logits")


@networks
def test_by_default_points_are_not_bounded(impl, fw, rng):
    generator = impl.Generator(3, 5, 2)
    generator(fw.array(np.zeros((1, 3))))
    noise = 5 * rng.standard_normal((7, 3))
    fill(fw, rng, generator)
    fw.close(generator(fw.array(noise)), run(weights_of(fw, generator), noise)[0], of="points", atol=1e-4)


# -------------------------------------------------------------------- 2 the losses


@losses_level
@every_kind
@pytest.mark.parametrize("sizes", [(5, 5), (4, 7), (1, 1)], ids=["equal", "unequal", "tiny"])
def test_the_losses_are_the_formulas(impl, fw, rng, kind, sizes):
    real, fake = (2 * rng.standard_normal((size, 1)) for size in sizes)
    found = impl.discriminator_loss(fw.array(real), fw.array(fake), kind=kind)
    fw.close(found, judged(real, fake, kind)[0], of="the discriminator's loss")
    fw.close(impl.generator_loss(fw.array(fake), kind=kind), made(fake, kind)[0], of="the generator's loss")


@losses_level
def test_by_default_the_losses_do_not_saturate(impl, fw, rng):
    real, fake = rng.standard_normal((2, 5, 1))
    found = impl.discriminator_loss(fw.array(real), fw.array(fake))
    fw.close(found, judged(real, fake, KINDS[0])[0], of="the discriminator's loss")
    fw.close(impl.generator_loss(fw.array(fake)), made(fake, KINDS[0])[0], of="the generator's loss")


@losses_level
@every_kind
@pytest.mark.parametrize("scale", [1, 1000], ids=["usual", "huge"])
def test_gradients_reach_the_logits_however_large_they_are(impl, fw, rng, kind, scale):
    logits = [scale * np.array([[1.0], [-1.0], [0.3]]), scale * np.array([[-0.5], [1.0], [-1.0]])]
    close = {"rtol": 1e-5, "atol": 1e-5 * scale}
    fw.check_gradients(
        lambda real, fake: impl.discriminator_loss(real, fake, kind=kind),
        lambda real, fake: judged(real, fake, kind)[0],
        logits,
        names=("real", "fake"),
        **close,
    )
    fw.check_gradients(
        lambda fake: impl.generator_loss(fake, kind=kind),
        lambda fake: made(fake, kind)[0],
        logits[1:],
        ["fake"],
        **close,
    )


@losses_level
def test_another_kind_is_refused(impl, fw):
    logits = fw.array(np.zeros((2, 1)))
    with pytest.raises(ValueError):
        impl.discriminator_loss(logits, logits, kind="hinge")
    with pytest.raises(ValueError):
        impl.generator_loss(logits, kind="hinge")


# -------------------------------------------------------------------- 3 the discriminator's turn


@discriminators_turn
@pytest.mark.timeout(60)  # the first optimiser of PyTorch imports much
@every_kind
def test_the_discriminator_descends_its_loss_and_the_generator_stays(impl, fw, rng, kind):
    generator, discriminator = (fill(fw, rng, model) for model in players(impl, fw, 3, 5, 2))
    optimizer = descent(fw, discriminator)
    leave_gradients(fw, discriminator)
    for _ in range(2):
        real, noise = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
        before, fixed = weights_of(fw, discriminator), weights_of(fw, generator)
        fake = run(fixed, noise)[0]
        (on_real, real_tape), (on_fake, fake_tape) = run(before, real), run(before, fake)
        loss, real_back, fake_back = judged(on_real, on_fake, kind)
        parts = [go_back(before, tape, back)[0] for tape, back in ((real_tape, real_back), (fake_tape, fake_back))]
        slopes = {
            name: {key: parts[0][name][key] + parts[1][name][key] for key in ("kernel", "bias")} for name in LAYERS
        }
        found = impl.discriminator_step(generator, discriminator, optimizer, fw.array(real), fw.array(noise), kind=kind)
        assert isinstance(found, float), f"the loss is a {type(found).__name__}, not a float"
        assert found == pytest.approx(loss, rel=1e-3), f"the loss before the step is {loss:.4f}; you return {found:.4f}"
        check_moved(fw, discriminator, before, slopes, of="discriminator")
        check_stayed(fw, generator, fixed, of="generator")
        if fw.name == "torch":
            left = [name for name, parameter in generator.named_parameters() if parameter.grad is not None]
            assert not left, f"the discriminator's turn computed gradients for the generator: {', '.join(left)}"


# -------------------------------------------------------------------- 4 the generator's turn


@generators_turn
@every_kind
@pytest.mark.parametrize("bounded", [False, True], ids=["free", "bounded"])
def test_the_generator_descends_its_loss_and_the_discriminator_stays(impl, fw, rng, kind, bounded):
    generator, discriminator = (fill(fw, rng, model) for model in players(impl, fw, 3, 5, 2, bounded))
    optimizer = descent(fw, generator)
    leave_gradients(fw, generator)
    for _ in range(2):
        noise = rng.standard_normal((6, 3))
        before, fixed = weights_of(fw, generator), weights_of(fw, discriminator)
        fake, fake_tape = run(before, noise, bounded)
        logits, tape = run(fixed, fake)
        loss, back = made(logits, kind)
        slopes = go_back(before, fake_tape, go_back(fixed, tape, back)[1])[0]
        found = impl.generator_step(generator, discriminator, optimizer, fw.array(noise), kind=kind)
        assert isinstance(found, float), f"the loss is a {type(found).__name__}, not a float"
        assert found == pytest.approx(loss, rel=1e-3), f"the loss before the step is {loss:.4f}; you return {found:.4f}"
        check_moved(fw, generator, before, slopes, of="generator")
        check_stayed(fw, discriminator, fixed, of="discriminator")


@generators_turn
def test_neither_turn_leaves_anything_for_the_other(impl, fw, rng):
    """The discriminator moves by its own loss alone, with a turn of the generator before it."""
    generator, discriminator = (fill(fw, rng, model) for model in players(impl, fw, 3, 5, 2))
    optimizers = descent(fw, discriminator), descent(fw, generator)
    real, noise = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
    impl.generator_step(generator, discriminator, optimizers[1], fw.array(noise))
    before, fake = weights_of(fw, discriminator), run(weights_of(fw, generator), noise)[0]
    x = np.concatenate([real, fake])
    logits, tape = run(before, x)
    _, *backs = judged(logits[:6], logits[6:], KINDS[0])
    impl.discriminator_step(generator, discriminator, optimizers[0], fw.array(real), fw.array(noise))
    check_moved(fw, discriminator, before, go_back(before, tape, np.concatenate(backs))[0], of="discriminator")


# -------------------------------------------------------------------- 5 modes counted


def ring(modes=8):
    angles = 2 * np.pi * np.arange(modes) / modes
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@modes_counted
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("modes", [8, 3, 1])
def test_modes_are_counted_as_the_specification_says(impl, fw, seed, modes):
    rng = np.random.default_rng(seed)
    odds = rng.dirichlet(np.ones(modes))
    samples = ring(modes)[rng.choice(modes, 200, p=odds)] + 0.3 * rng.standard_normal((200, 2))
    for radius, share in ((0.3, 0.04), (1.5, 0.1), (0.05, 0.01)):
        expected = covered(samples, ring(modes), radius, share)
        found = impl.modes_covered(fw.array(samples), fw.array(ring(modes)), radius, share)
        assert type(found) is int, f"the number of modes is a {type(found).__name__}, not an int"
        assert found == expected, f"within {radius} and with {share:.0%} of the samples {expected} modes, not {found}"


@modes_counted
def test_the_share_is_that_of_all_samples_and_the_bounds_count(impl, fw):
    """Of 8 samples 2 lie at a distance of exactly 0.5 from the first centre, 1 at the second, and 5 far away."""
    centres = np.array([[0.0, 0.0], [4.0, 0.0]])
    samples = np.array([[0.5, 0.0], [-0.5, 0.0], [4.0, 0.0]] + [[0.0, 9.0]] * 5)
    for share, expected in ((0.125, 2), (0.25, 1), (0.375, 0)):
        found = impl.modes_covered(fw.array(samples), fw.array(centres), 0.5, share)
        assert found == expected, f"with a share of {share} of 8 samples {expected} modes are covered, not {found}"


# -------------------------------------------------------------------- 6 the ring


def ring_batches(fw, rng, steps=400, batch=128):
    """Real points: eight Gaussians of deviation 0.1 on a circle of radius 1."""
    return [fw.array(ring()[rng.integers(0, 8, batch)] + 0.1 * rng.standard_normal((batch, 2))) for _ in range(steps)]


def modes_after_training(impl, fw, rng, kind):
    """A mode counts if a third of its fair share of 2000 samples lies within three deviations."""
    generator, discriminator = players(impl, fw, 8, 64, 2)
    impl.train(generator, discriminator, ring_batches(fw, rng), 8, 4e-3, kind=kind)
    samples = run(weights_of(fw, generator), rng.standard_normal((2000, 8)))[0]
    return covered(samples, ring(), 0.3, 1 / 24)


@ring_level
@pytest.mark.timeout(60)
@every_kind
def test_training_takes_turns(impl, fw, rng, kind):
    """Adam's first step moves a weight by the learning rate; the noise is the learner's own."""
    generator, discriminator = (fill(fw, rng, model) for model in players(impl, fw, 3, 5, 2))
    before = weights_of(fw, generator), weights_of(fw, discriminator)
    real = rng.standard_normal((5000, 2))
    fake = run(before[0], rng.standard_normal((20_000, 3)))[0]
    on_real, on_fake = run(before[1], real)[0], run(before[1], fake)[0]
    losses = impl.train(generator, discriminator, [fw.array(real)], 3, 0.001, kind=kind)
    expected = judged(on_real, on_fake, kind)[0], made(on_fake, kind)[0]
    assert len(losses) == 1 and all(isinstance(loss, float) for loss in losses[0]), f"one pair of floats, not {losses}"
    assert losses[0] == pytest.approx(expected, rel=0.1), (
        f"the first losses should be about {expected[0]:.3f} and {expected[1]:.3f}; yours are {losses[0]}"
    )
    for name, model, old in (("generator", generator, before[0]), ("discriminator", discriminator, before[1])):
        moved = np.abs(weights_of(fw, model)["second"]["kernel"] - old["second"]["kernel"]).max()
        assert moved == pytest.approx(0.001, rel=0.05), f"the {name} should move by 0.001, and moves by {moved:.2g}"


@ring_level
@pytest.mark.timeout(60)
def test_every_step_has_new_noise(impl, fw, rng):
    """With one point a batch, and nothing learnt at a rate of 0, each loss tells the logit of the point made for it."""
    generator, discriminator = (fill(fw, rng, model) for model in players(impl, fw, 3, 5, 2))
    real = rng.standard_normal((1, 2))
    on_real = run(weights_of(fw, discriminator), real)[0].item()
    losses = np.array(impl.train(generator, discriminator, [fw.array(real)] * 4, 3, 0.0))
    judged_fakes = np.log(np.expm1(losses[:, 0] - np.logaddexp(0, -on_real)))
    made_fakes = -np.log(np.expm1(losses[:, 1]))
    assert min(np.ptp(judged_fakes), np.ptp(made_fakes)) > 0.01, (
        f"the logits of fake points in four batches, in either turn, are {judged_fakes} and {made_fakes}: is the noise "
        "drawn once for all batches?"
    )
    assert np.abs(judged_fakes - made_fakes).max() > 0.01, (
        f"in both turns of a batch the fake points have the logits {made_fakes}: each step needs new noise"
    )


@ring_level
@pytest.mark.timeout(60)
def test_the_noise_is_normal(impl, fw):
    """Both nets return what they are given, so that each loss tells its noise. Nothing is learnt, at a rate of 0."""
    nets = players(impl, fw, 1, 1, 1)
    for net in nets:  # 10 is added before both leaky ReLUs and taken off behind them
        for name, bias in (("first", 10.0), ("second", 0.0), ("last", -10.0)):
            fw.set_weights(getattr(net, name), {"kernel": np.ones((1, 1)), "bias": np.array([bias])})
    losses = np.array(impl.train(*nets, (fw.array(np.zeros((1, 1))) for _ in range(200)), 1, 0.0))
    noise = np.concatenate([np.log(np.expm1(losses[:, 0] - np.log(2))), -np.log(np.expm1(losses[:, 1]))])
    mean, deviation, most = noise.mean(), noise.std(), np.abs(noise).max()
    assert abs(mean) < 5 / np.sqrt(400) and abs(deviation - 1) < 5 / np.sqrt(800) and most > 1.8, (
        f"400 numbers of noise, one a step, should have mean 0 and deviation 1, and some should lie beyond 1.8; they "
        f"have {mean:.2f} and {deviation:.2f}, and reach {most:.2f}. Does each step draw as much as the batch has rows?"
    )


@ring_level
@pytest.mark.timeout(60)
@every_kind
def test_the_discriminator_moves_first(impl, fw, rng, kind):
    """The generator makes the same point of any noise, and then the losses of both turns are certain."""
    generator, discriminator = (fill(fw, rng, model) for model in players(impl, fw, 3, 5, 2))
    fw.set_weights(generator.first, {"kernel": np.zeros((3, 5)), "bias": rng.standard_normal(5)})
    before, real = weights_of(fw, discriminator), rng.standard_normal((6, 2))
    fake = run(weights_of(fw, generator), np.zeros((6, 3)))[0]
    (on_real, real_tape), (on_fake, fake_tape) = run(before, real), run(before, fake)
    judgement, *backs = judged(on_real, on_fake, kind)
    parts = [go_back(before, tape, back)[0] for tape, back in zip((real_tape, fake_tape), backs, strict=True)]
    after = {  # Adam's first step is the learning rate, in the direction of the slope
        name: {key: before[name][key] - 0.02 * np.sign(parts[0][name][key] + parts[1][name][key]) for key in old}
        for name, old in before.items()
    }
    expected = judgement, made(run(after, fake)[0], kind)[0]
    losses = impl.train(generator, discriminator, [fw.array(real)], 3, 0.02, kind=kind)
    assert losses[0] == pytest.approx(expected, rel=1e-3), (
        f"the losses should be {expected[0]:.4f} and, after the discriminator's step, {expected[1]:.4f}; without the "
        f"step the second would be {made(on_fake, kind)[0]:.4f}. You return {losses[0]}"
    )


@ring_level
@pytest.mark.timeout(60)
def test_adam_remembers_half_of_the_step_before(impl, fw):
    """A discriminator that is hardly decided gets points above the fake ones, then points below: opposite gradients.

    With β₁ = 0.5 the second step takes back a third of the first one, with 0.9 a twentieth; a new Adam for each batch
    takes back all.
    """
    generator, discriminator = players(impl, fw, 1, 1, 1)
    for net in (generator, discriminator):
        for name, kernel, bias in (("first", 1.0, 2.0), ("second", 1.0, 0.0), ("last", 0.0, 0.01)):
            kernel = 0.0 if net is generator else kernel
            fw.set_weights(getattr(net, name), {"kernel": np.full((1, 1), kernel), "bias": np.array([bias])})
    fw.set_weights(generator.last, {"kernel": np.zeros((1, 1)), "bias": np.zeros(1)})
    impl.train(generator, discriminator, [fw.array(np.full((8, 1), place)) for place in (1.0, -1.0)], 1, 1e-4)
    moved = fw.weights(discriminator.last)["kernel"].item() / 1e-4
    assert 0.55 < moved < 0.75, (
        f"after a step forth and one back, a weight should be 0.65 learning rates from where it began, and is "
        f"{moved:.2f}. Is β₁ 0.5, and is there one Adam for all batches?"
    )


@ring_level
@pytest.mark.timeout(60)
@every_kind
def test_the_generator_covers_the_ring(impl, fw, rng, kind):
    """Over ten seeds: 7 or 8 modes in PyTorch and 8 in TensorFlow, with either loss."""
    spread = covered(rng.standard_normal((2000, 2)) * 0.71, ring(), 0.3, 1 / 24)
    assert spread <= 2, f"one wide Gaussian should cover no more than two modes, not {spread}"
    found = modes_after_training(impl, fw, rng, kind)
    assert found >= 6, f"after 400 batches the generator covers {found} of 8 modes; a wide Gaussian covers {spread}"


# -------------------------------------------------------------------- 7 digits


def digits():
    """1797 images of 8 × 8 pixels from -1 to 1, flat, and what they show."""
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    return x / 8 - 1, labels


def nearest(pictures, known):
    """The mean distance to the most similar known image, and which image that is."""
    squares = (pictures**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * pictures @ known.T
    return np.sqrt(squares.min(axis=1).clip(0)).mean(), squares.argmin(axis=1)


def digits_after_training(impl, fw, rng):
    """How far 300 generated images lie from the next digit, and of how many classes there are two per cent."""
    known, labels = digits()
    generator, discriminator = players(impl, fw, 16, 128, 64, bounded=True)
    batches = [fw.array(known[rng.integers(0, len(known), 64)]) for _ in range(300)]
    impl.train(generator, discriminator, batches, 16, 2e-3, kind="least_squares")
    images = run(weights_of(fw, generator), rng.standard_normal((300, 16)), bounded=True)[0]
    distance, which = nearest(images, known)
    return distance, np.sum(np.bincount(labels[which], minlength=10) >= 6)


@digits_level
@pytest.mark.timeout(60)
def test_generated_images_look_like_digits_of_many_classes(impl, fw, rng):
    """Over ten seeds in PyTorch: 3.2 to 3.6 from the next digit, 7 to 10 classes; independent pixels lie 4.2 to 4.4."""
    known, _ = digits()
    shuffled = np.stack([rng.permutation(column)[:300] for column in known.T], axis=1)
    baseline = nearest(shuffled, known)[0]
    distance, classes = digits_after_training(impl, fw, rng)
    assert baseline > 4.1, f"independent pixels should lie further from digits than {baseline:.2f}"
    assert distance < 3.9, f"generated images lie {distance:.2f} from the next digit; independent pixels {baseline:.2f}"
    assert classes >= 5, f"the generated images resemble {classes} classes of digits: the generator has collapsed"


@pytest.mark.gpu
@networks
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    generator, discriminator = impl.Generator(3, 5, 2), impl.Discriminator(2, 5)
    if gpu.name == "torch":
        generator.to(gpu.device), discriminator.to(gpu.device)
    points = generator(gpu.array(rng.standard_normal((7, 3))))
    gpu.check_device(points, of="points")
    logits = discriminator(points)
    gpu.close(logits, run(weights_of(gpu, discriminator), gpu.numpy(points))[0], of="logits", atol=1e-4)
    impl.train(generator, discriminator, [points], 3, 0.001)
