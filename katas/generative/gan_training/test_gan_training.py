"""Levels of the gan_training kata. Expected values come from float64 NumPy: formulas, and the chain rule by hand."""

from functools import partial
from itertools import pairwise, product

import numpy as np
import pytest

from dojo import level
from dojo.testing import data

networks = level(1, "the networks")
loss_functions = level(2, "the losses", points=2)
discriminators_turn = level(3, "the discriminator's turn", points=2)
generators_turn = level(4, "the generator's turn", points=2)
modes_counted = level(5, "modes counted")
the_ring = level(6, "the ring", points=3)
digits = level(7, "digits", points=2)
pytestmark = pytest.mark.timeout(60)  # the first optimiser of PyTorch imports much

KINDS = ("non_saturating", "least_squares")
WEIGHTS = list(product(("first", "second", "last"), ("kernel", "bias")))
every_kind = pytest.mark.parametrize("kind", KINDS)
bounded_or_not = pytest.mark.parametrize("bounded", [False, True], ids=["free", "bounded"])


def run(weights, x, bounded=False):
    """The output of a net with these weights (`weights_of`), and what the way back needs."""
    tape = []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        z = x @ kernel + bias
        slope = np.where(z > 0, 1.0, 0.2)
        tape.append([kernel, x, slope])
        x = z * slope
    tape[-1][2] = 1 - np.tanh(z) ** 2 if bounded else np.ones_like(z)  # no leaky ReLU after the last layer
    return np.tanh(z) if bounded else z, tape


def go_back(tape, back):
    """The gradient of every weight and of the input, from that of the output."""
    slopes = []
    for kernel, x, slope in reversed(tape):
        back = back * slope
        slopes = [x.T @ back, back.sum(axis=0), *slopes]
        back = back @ kernel.T
    return slopes, back


def made(fake, kind=KINDS[0]):
    """The generator's loss, and its slope at the logits."""
    if kind == "least_squares":
        return np.mean((fake - 1) ** 2) / 2, (fake - 1) / fake.size
    return np.mean(np.logaddexp(0, -fake)), -np.exp(-np.logaddexp(0, fake)) / fake.size


def judged(real, fake, kind=KINDS[0]):
    """The discriminator's loss, and its slope at both logits."""
    on_real, real_slope = made(real, kind)
    if kind == "least_squares":
        return on_real + np.mean(fake**2) / 2, real_slope, fake / fake.size
    on_fake, fake_slope = made(-fake, kind)
    return on_real + on_fake, real_slope, -fake_slope


def judged_points(weights, real, fake, kind=KINDS[0]):
    """The discriminator's loss for points, and its gradient for every weight."""
    logits, tape = run(weights, np.concatenate([real, fake]))
    loss, *backs = judged(logits[: len(real)], logits[len(real) :], kind)
    return loss, go_back(tape, np.concatenate(backs))[0]


def covered(samples, centres, radius, share):
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    belongs = np.where(distances.min(axis=1) <= radius, distances.argmin(axis=1), -1)
    return sum(np.mean(belongs == mode) >= share for mode in range(len(centres)))


def built(fw, model, width):
    """The model, called once: Keras makes weights then."""
    fw.to_device(model)(fw.array(np.zeros((2, width))))
    return model


def players(impl, fw, latent, hidden, features, **options):
    generator = built(fw, impl.Generator(latent, hidden, features, **options), latent)
    return generator, built(fw, impl.Discriminator(features, hidden), features)


def filled(impl, fw, rng, **options):
    """Small players with a random number in every weight."""
    return [fw.randomise(model, rng) for model in players(impl, fw, 3, 5, 2, **options)]


def weights_of(fw, model):
    return [fw.weights(getattr(model, layer))[key] for layer, key in WEIGHTS]


def check_step(fw, found, loss, learner, before, slopes, rival, fixed):
    """A step returns its loss, moves the learner by a tenth of the slopes, and leaves the rival where it was."""
    assert isinstance(found, float), f"the loss is a {type(found).__name__}, not a float"
    assert found == pytest.approx(loss, rel=1e-3), f"the loss before the step is {loss:.4f}; you return {found:.4f}"
    names = [f"{type(learner).__name__}.{layer}'s {key}" for layer, key in WEIGHTS]
    expected = [weight - 0.1 * slope for weight, slope in zip(before, slopes, strict=True)]
    fw.close_all(list(map(fw.array, weights_of(fw, learner))), expected, names, atol=1e-4)
    for (layer, key), now, then in zip(WEIGHTS, weights_of(fw, rival), fixed, strict=True):
        assert np.array_equal(now, then), f"the step moved the {key} of the {type(rival).__name__}'s layer {layer}"


def check_net(fw, model, widths, x, of, bounded=False):
    """The net has layers of these widths, and computes the formula."""
    weights = weights_of(fw, model)
    found, expected = [kernel.shape for kernel in weights[::2]], list(pairwise(widths))
    assert found == expected, f"the kernels of first, second and last should have the shapes {expected}, not {found}"
    fw.close(model(fw.array(x)), run(weights, x, bounded)[0], of)


@networks
@bounded_or_not
def test_the_generator_is_the_formula(impl, fw, rng, bounded):
    generator = fw.randomise(built(fw, impl.Generator(3, 5, 2, bounded=bounded), 3), rng)
    check_net(fw, generator, (3, 5, 5, 2), rng.standard_normal((7, 3)), "points", bounded)


@networks
def test_the_discriminator_is_the_formula(impl, fw, rng):
    discriminator = fw.randomise(built(fw, impl.Discriminator(2, 5), 2), rng)
    check_net(fw, discriminator, (2, 5, 5, 1), rng.standard_normal((7, 2)), "logits")


@networks
def test_by_default_points_are_not_bounded(impl, fw, rng):
    generator = fw.randomise(built(fw, impl.Generator(3, 5, 2), 3), rng)
    check_net(fw, generator, (3, 5, 5, 2), 5 * rng.standard_normal((7, 3)), "points")


@loss_functions
@every_kind
@pytest.mark.parametrize("sizes", [(5, 5), (4, 7), (1, 1)], ids=["equal", "unequal", "tiny"])
def test_the_losses_are_the_formulas(impl, fw, rng, kind, sizes):
    check_losses(impl, fw, *(2 * rng.standard_normal((size, 1)) for size in sizes), kind=kind)


@loss_functions
def test_by_default_the_losses_do_not_saturate(impl, fw, rng):
    check_losses(impl, fw, *rng.standard_normal((2, 5, 1)))


def check_losses(impl, fw, real, fake, **kind):
    found = impl.discriminator_loss(fw.array(real), fw.array(fake), **kind)
    fw.close(found, judged(real, fake, **kind)[0], of="the discriminator's loss")
    fw.close(impl.generator_loss(fw.array(fake), **kind), made(fake, **kind)[0], of="the generator's loss")


@loss_functions
@every_kind
@pytest.mark.parametrize("scale", [1, 1000], ids=["usual", "huge"])
def test_gradients_reach_the_logits_however_large_they_are(impl, fw, rng, kind, scale):
    logits = [scale * np.array([[1.0], [-1.0], [0.3]]), scale * np.array([[-0.5], [1.0], [-1.0]])]
    judging, making = partial(impl.discriminator_loss, kind=kind), partial(impl.generator_loss, kind=kind)
    close = {"rtol": 1e-5, "atol": 1e-5 * scale}
    fw.check_gradients(judging, lambda *x: judged(*x, kind)[0], logits, ("real", "fake"), **close)
    fw.check_gradients(making, lambda x: made(x, kind)[0], logits[1:], ("fake",), **close)


@loss_functions
def test_another_kind_is_refused(impl, fw):
    logits = fw.array(np.zeros((2, 1)))
    for loss, arguments in ((impl.discriminator_loss, (logits, logits)), (impl.generator_loss, (logits,))):
        with pytest.raises(ValueError):
            loss(*arguments, kind="hinge")


@discriminators_turn
@every_kind
def test_the_discriminator_descends_its_loss_and_the_generator_stays(impl, fw, rng, kind):
    generator, discriminator = filled(impl, fw, rng)
    optimizer = fw.sgd(discriminator, 0.1)
    fw.leave_gradients(discriminator)
    for _ in range(2):
        real, noise = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
        before, fixed = weights_of(fw, discriminator), weights_of(fw, generator)
        loss, slopes = judged_points(before, real, run(fixed, noise)[0], kind)
        found = impl.discriminator_step(generator, discriminator, optimizer, fw.array(real), fw.array(noise), kind=kind)
        check_step(fw, found, loss, discriminator, before, slopes, generator, fixed)
        assert not fw.held_gradients(generator), "the discriminator's turn computed gradients for the generator"


@generators_turn
@every_kind
@bounded_or_not
def test_the_generator_descends_its_loss_and_the_discriminator_stays(impl, fw, rng, kind, bounded):
    generator, discriminator = filled(impl, fw, rng, bounded=bounded)
    optimizer = fw.sgd(generator, 0.1)
    fw.leave_gradients(generator)
    for _ in range(2):
        noise = rng.standard_normal((6, 3))
        before, fixed = weights_of(fw, generator), weights_of(fw, discriminator)
        fake, fake_tape = run(before, noise, bounded)
        logits, tape = run(fixed, fake)
        loss, back = made(logits, kind)
        slopes, _ = go_back(fake_tape, go_back(tape, back)[1])
        found = impl.generator_step(generator, discriminator, optimizer, fw.array(noise), kind=kind)
        check_step(fw, found, loss, generator, before, slopes, discriminator, fixed)


@generators_turn
def test_neither_turn_leaves_anything_for_the_other(impl, fw, rng):
    """The discriminator moves by its own loss alone, with a turn of the generator before it."""
    models = generator, discriminator = filled(impl, fw, rng)
    real, noise = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
    impl.generator_step(*models, fw.sgd(generator, 0.1), fw.array(noise))
    before, fixed = weights_of(fw, discriminator), weights_of(fw, generator)
    loss, slopes = judged_points(before, real, run(fixed, noise)[0])
    found = impl.discriminator_step(*models, fw.sgd(discriminator, 0.1), fw.array(real), fw.array(noise))
    check_step(fw, found, loss, discriminator, before, slopes, generator, fixed)


def ring(modes=8):
    angles = 2 * np.pi * np.arange(modes) / modes
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@modes_counted
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("modes", [8, 3, 1])
def test_modes_are_counted_as_the_specification_says(impl, fw, seed, modes):
    rng = np.random.default_rng(seed)
    drawn = rng.choice(modes, 200, p=rng.dirichlet(np.ones(modes)))
    samples = ring(modes)[drawn] + 0.3 * rng.standard_normal((200, 2))
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


def put(fw, net, **layers):
    """Write a kernel and a bias, numbers, into layers of width 1."""
    for name, (kernel, bias) in layers.items():
        fw.set_weights(getattr(net, name), {"kernel": np.full((1, 1), kernel), "bias": np.array([bias])})


@the_ring
@every_kind
def test_training_takes_turns(impl, fw, rng, kind):
    """Adam's first step moves a weight by the learning rate; the noise is the learner's own."""
    models = filled(impl, fw, rng)
    making, judging = before = [weights_of(fw, model) for model in models]
    real, fake = rng.standard_normal((5000, 2)), run(making, rng.standard_normal((20_000, 3)))[0]
    expected = judged_points(judging, real, fake, kind)[0], made(run(judging, fake)[0], kind)[0]
    losses = impl.train(*models, [fw.array(real)], 3, 0.001, kind=kind)
    assert len(losses) == 1 and all(isinstance(loss, float) for loss in losses[0]), f"one pair of floats, not {losses}"
    assert losses[0] == pytest.approx(expected, rel=0.1), (
        f"the first losses should be about {expected[0]:.3f} and {expected[1]:.3f}; yours are {losses[0]}"
    )
    for model, old in zip(models, before, strict=True):
        steps = np.array([np.abs(now - then).max() for now, then in zip(weights_of(fw, model), old, strict=True)])
        assert np.all(abs(steps - 0.001) < 5e-5), f"the {type(model).__name__}'s weights move by {steps}, not by 0.001"


@the_ring
def test_every_step_has_new_noise(impl, fw, rng):
    """With one point a batch, and nothing learnt at a rate of 0, each loss tells the logit of the point made for it."""
    generator, discriminator = filled(impl, fw, rng)
    real = rng.standard_normal((1, 2))
    on_real = run(weights_of(fw, discriminator), real)[0].item()
    losses = np.array(impl.train(generator, discriminator, [fw.array(real)] * 4, 3, 0.0))
    judged_fakes = np.log(np.expm1(losses[:, 0] - np.logaddexp(0, -on_real)))
    made_fakes = -np.log(np.expm1(losses[:, 1]))
    logits = f"the fake points of four batches have the logits {judged_fakes} and, in the second turn, {made_fakes}"
    assert min(np.ptp(judged_fakes), np.ptp(made_fakes)) > 0.01, f"{logits}: is the noise drawn once for all batches?"
    assert np.abs(judged_fakes - made_fakes).max() > 0.01, f"{logits}: each step needs new noise"


@the_ring
def test_the_noise_is_normal(impl, fw):
    """Both nets return what they are given, so that each loss tells its noise. Nothing is learnt, at a rate of 0."""
    nets = players(impl, fw, 1, 1, 1)
    for net in nets:  # 10 is added before both leaky ReLUs and subtracted after them
        put(fw, net, first=(1.0, 10.0), second=(1.0, 0.0), last=(1.0, -10.0))
    losses = np.array(impl.train(*nets, (fw.array(np.zeros((1, 1))) for _ in range(200)), 1, 0.0))
    noise = np.concatenate([np.log(np.expm1(losses[:, 0] - np.log(2))), -np.log(np.expm1(losses[:, 1]))])
    mean, deviation, most = noise.mean(), noise.std(), np.abs(noise).max()
    assert abs(mean) < 5 / np.sqrt(400) and abs(deviation - 1) < 5 / np.sqrt(800) and most > 1.8, (
        f"the noise of 400 steps should have mean 0 and deviation 1, and reach 1.8; it has {mean:.2f} and "
        f"{deviation:.2f}, and reaches {most:.2f}. Does each step draw as much as the batch has rows?"
    )


@the_ring
@every_kind
def test_the_discriminator_moves_first(impl, fw, rng, kind):
    """The generator makes one point of any noise, and Adam's first step is the learning rate: losses are certain."""
    generator, discriminator = filled(impl, fw, rng)
    fw.set_weights(generator.first, {"kernel": np.zeros((3, 5)), "bias": rng.standard_normal(5)})
    before, real = weights_of(fw, discriminator), rng.standard_normal((6, 2))
    fake = run(weights_of(fw, generator), np.zeros((6, 3)))[0]
    judgement, slopes = judged_points(before, real, fake, kind)
    after = [weight - 0.02 * np.sign(slope) for weight, slope in zip(before, slopes, strict=True)]
    expected = judgement, made(run(after, fake)[0], kind)[0]
    losses = impl.train(generator, discriminator, [fw.array(real)], 3, 0.02, kind=kind)
    assert losses[0] == pytest.approx(expected, rel=1e-3), (
        f"the losses should be {expected[0]:.4f} and, after the discriminator's step, {expected[1]:.4f}; without this "
        f"step the second is {made(run(before, fake)[0], kind)[0]:.4f}. You return {losses[0]}"
    )


@the_ring
def test_adam_remembers_half_of_the_step_before(impl, fw):
    """Two opposite gradients: with β₁ = 0.5 the second step undoes a third, with 0.9 a twentieth, a new Adam all."""
    generator, discriminator = players(impl, fw, 1, 1, 1)
    put(fw, generator, first=(0.0, 2.0), second=(0.0, 0.0), last=(0.0, 0.0))
    put(fw, discriminator, first=(1.0, 2.0), second=(1.0, 0.0), last=(0.0, 0.01))
    impl.train(generator, discriminator, [fw.array(np.full((8, 1), place)) for place in (1.0, -1.0)], 1, 1e-4)
    distance = fw.weights(discriminator.last)["kernel"].item() / 1e-4
    assert 0.55 < distance < 0.75, (
        f"after a step forth and one back a weight is {distance:.2f} learning rates away, not 0.65: one Adam, β₁ 0.5?"
    )


@the_ring
@every_kind
def test_the_generator_covers_the_ring(impl, fw, rng, kind):
    """A mode counts with a third of its fair share. Over ten seeds: 7 or 8 modes in PyTorch and 8 in TensorFlow."""
    spread = covered(rng.standard_normal((2000, 2)) * 0.71, ring(), 0.3, 1 / 24)
    assert spread <= 2, f"one wide Gaussian should cover no more than two modes, not {spread}"
    generator, discriminator = players(impl, fw, 8, 64, 2)
    batches = [ring()[rng.integers(0, 8, 128)] + 0.1 * rng.standard_normal((128, 2)) for _ in range(400)]
    impl.train(generator, discriminator, map(fw.array, batches), 8, 4e-3, kind=kind)
    found = covered(run(weights_of(fw, generator), rng.standard_normal((2000, 8)))[0], ring(), 0.3, 1 / 24)
    assert found >= 6, f"after 400 batches the generator covers {found} of 8 modes; a wide Gaussian covers {spread}"


def nearest(pictures, known):
    """The mean distance to the most similar known image, and which image that is."""
    squares = (pictures**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * pictures @ known.T
    return np.sqrt(squares.min(axis=1).clip(0)).mean(), squares.argmin(axis=1)


@digits
def test_generated_images_look_like_digits_of_many_classes(impl, fw, rng):
    """Over ten seeds in PyTorch: 3.2 to 3.6 from the next digit, 7 to 10 classes; independent pixels lie 4.2 to 4.4."""
    images, labels = data.digits()
    known = 2 * images - 1
    baseline, _ = nearest(np.stack([rng.permutation(pixel)[:300] for pixel in known.T], axis=1), known)
    generator, discriminator = players(impl, fw, 16, 128, 64, bounded=True)
    batches = [fw.array(known[rng.integers(0, len(known), 64)]) for _ in range(300)]
    impl.train(generator, discriminator, batches, 16, 2e-3, kind="least_squares")
    distance, which = nearest(run(weights_of(fw, generator), rng.standard_normal((300, 16)), bounded=True)[0], known)
    classes = np.sum(np.bincount(labels[which], minlength=10) >= 6)
    assert baseline > 4.1, f"independent pixels should lie further from digits than {baseline:.2f}"
    assert distance < 3.9, f"generated images lie {distance:.2f} from the next digit; independent pixels {baseline:.2f}"
    assert classes >= 5, f"the generated images resemble {classes} classes of digits: the generator has collapsed"


@pytest.mark.gpu
@networks
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    generator, discriminator = players(impl, gpu, 3, 5, 2)
    points = generator(gpu.array(rng.standard_normal((7, 3))))
    gpu.check_device(points, of="points")
    gpu.check_device(discriminator(points), of="logits")
    check_net(gpu, discriminator, (2, 5, 5, 1), gpu.numpy(points), "logits")
    impl.train(generator, discriminator, [points], 3, 0.001)
