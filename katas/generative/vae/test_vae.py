"""Levels of the vae kata. Every expected value comes from float64 NumPy: formulas, or integrals over a grid of z."""

import numpy as np
import pytest

from dojo import level

networks = level(1, "the networks")
reparameterisation = level(2, "reparameterisation", points=2)
divergence_level = level(3, "divergence")
loss = level(4, "the loss", points=2)
bound_level = level(5, "the bound", points=2)
learns = level(6, "learns", points=3)

LAYERS = ("encoder", "mean", "log_variance", "decoder", "pixels")

# -------------------------------------------------------------------- the oracle


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def encoded(weights, x):
    h = np.maximum(dense(weights["encoder"], x), 0)
    return dense(weights["mean"], h), dense(weights["log_variance"], h)


def decoded(weights, z):
    return dense(weights["pixels"], np.maximum(dense(weights["decoder"], z), 0))


def divergence(mean, log_variance):
    return 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance, axis=-1)


def surprise(logits, x):
    """−log p(x|z), from log(1 + exp(l)) − x l."""
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)


def log_normal(z, mean=0.0, log_variance=0.0):
    return -0.5 * np.sum(np.log(2 * np.pi) + log_variance + (z - mean) ** 2 / np.exp(log_variance), axis=-1)


def estimated(weights, x, noise):
    """log p(x) by importance sampling."""
    mean, log_variance = encoded(weights, x)
    z = mean + np.exp(log_variance / 2) * noise
    logs = log_normal(z) - surprise(decoded(weights, z), x) - log_normal(z, mean, log_variance)
    return logs.max(axis=0) + np.log(np.mean(np.exp(logs - logs.max(axis=0)), axis=0))


def integrated(weights, x):
    """log p(x) for one latent variable, by the integral of p(x|z) p(z)."""
    z = np.linspace(-10, 10, 20_001)[:, None]
    logs = log_normal(z) - surprise(decoded(weights, z)[:, None], x).T
    return np.log(np.sum(np.exp(logs), axis=1) * (z[1, 0] - z[0, 0]))


# -------------------------------------------------------------------- models


def make(impl, fw, *sizes):
    """A model that has been called once: Keras makes weights then."""
    model = impl.VAE(*sizes)
    model(fw.array(np.zeros((2, sizes[0]))))
    return model


def weights_of(fw, model):
    return {
        name: {key: value.astype("float64") for key, value in fw.weights(getattr(model, name)).items()}
        for name in LAYERS
    }


def filled(impl, fw, rng, *sizes, strength=1.0):
    """A model with a random number in every weight."""
    model = make(impl, fw, *sizes)
    for name in LAYERS:
        layer = getattr(model, name)
        fw.set_weights(
            layer, {key: strength * rng.standard_normal(old.shape) for key, old in fw.weights(layer).items()}
        )
    return model


def silence(fw, model):
    """Let q(z|x) have next to no variance, so that every draw is the mean."""
    old = fw.weights(model.log_variance)
    fw.set_weights(model.log_variance, {"kernel": np.zeros_like(old["kernel"]), "bias": np.full_like(old["bias"], -60)})
    return model


def show_z(fw, model):
    """Let the decoder of a model with two pixels, four hidden units and two latent variables return z as its logits."""
    both = np.concatenate([np.eye(2), -np.eye(2)], axis=1)
    fw.set_weights(model.decoder, {"kernel": both, "bias": np.zeros(4)})
    fw.set_weights(model.pixels, {"kernel": both.T, "bias": np.zeros(2)})
    return model


def pixels(rng, *shape):
    return rng.integers(0, 2, shape).astype("float64")


# -------------------------------------------------------------------- 1 the networks


@networks
@pytest.mark.parametrize("sizes", [(5, 7, 3), (4, 1, 1), (9, 6, 6)], ids=["small", "narrow", "wide"])
def test_encoder_and_decoder_are_those_of_the_formula(impl, fw, rng, sizes):
    model = filled(impl, fw, rng, *sizes)
    weights, x, z = weights_of(fw, model), pixels(rng, 6, sizes[0]), rng.standard_normal((6, sizes[2]))
    mean, log_variance = model.encode(fw.array(x))
    fw.close(mean, encoded(weights, x)[0], of="mean", atol=1e-4)
    fw.close(log_variance, encoded(weights, x)[1], of="log_variance", atol=1e-4)
    fw.close(model.decode(fw.array(z)), decoded(weights, z), of="logits", atol=1e-4)


@networks
def test_z_may_have_more_axes(impl, fw, rng):
    model, z = filled(impl, fw, rng, 5, 7, 3), rng.standard_normal((2, 4, 3))
    fw.close(model.decode(fw.array(z)), decoded(weights_of(fw, model), z), of="logits", atol=1e-4)


@networks
def test_a_picture_goes_through_both(impl, fw, rng):
    """With next to no variance z is the mean."""
    model, x = silence(fw, filled(impl, fw, rng, 5, 7, 3)), pixels(rng, 6, 5)
    weights = weights_of(fw, model)
    logits, mean, log_variance = model(fw.array(x))
    fw.close(mean, encoded(weights, x)[0], of="mean", atol=1e-4)
    fw.close(log_variance, encoded(weights, x)[1], of="log_variance", atol=1e-4)
    fw.close(logits, decoded(weights, encoded(weights, x)[0]), of="logits", atol=1e-3)


# -------------------------------------------------------------------- 2 reparameterisation


@reparameterisation
@pytest.mark.parametrize("shapes", [((4, 3), (4, 3)), ((4, 3), (5, 4, 3)), ((1,), (1,))], ids=["one", "many", "tiny"])
def test_noise_is_scaled_and_moved(impl, fw, rng, shapes):
    mean, log_variance = (rng.standard_normal(shapes[0]) for _ in range(2))
    noise = rng.standard_normal(shapes[1])
    z = impl.reparameterize(*map(fw.array, (mean, log_variance, noise)))
    fw.close(z, mean + np.exp(log_variance / 2) * noise, of="z")


@reparameterisation
def test_without_noise_every_entry_gets_its_own_draw(impl, fw):
    """20 000 draws: the tolerances are five standard errors."""
    mean, log_variance = np.full((5000, 4), 2.0), np.full((5000, 4), np.log(0.25))
    first, second = (fw.numpy(impl.reparameterize(fw.array(mean), fw.array(log_variance))) for _ in range(2))
    assert abs(first.mean() - 2) < 5 * 0.5 / np.sqrt(20_000), f"z should have mean 2, and has {first.mean():.3f}"
    assert abs(first.std() - 0.5) < 5 * 0.5 / np.sqrt(40_000), f"z should have deviation 0.5, not {first.std():.3f}"
    for pair, what in (
        ((first[:, 0], second[:, 0]), "two calls"),
        ((first[:, 0], first[:, 1]), "two latent variables"),
        ((first[:-1, 0], first[1:, 0]), "two pictures"),
    ):
        found = np.corrcoef(*pair)[0, 1]
        assert abs(found) < 5 / np.sqrt(5000), (
            f"the draws of {what} should be independent; they correlate by {found:.2f}"
        )


@reparameterisation
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_the_model_draws_one_z_for_each_picture(impl, fw, training):
    """A decoder that shows z itself, and the same q(z|x) for every picture. The tolerances are five standard errors."""
    model = show_z(fw, make(impl, fw, 2, 4, 2))
    for head, bias in (("mean", 2.0), ("log_variance", np.log(0.25))):
        fw.set_weights(getattr(model, head), {"kernel": np.zeros((4, 2)), "bias": np.full(2, bias)})
    z = fw.numpy(fw.call(model, fw.array(np.ones((5000, 2))), training=training)[0]).astype("float64")
    mean, deviation = z.mean(axis=0), z.std(axis=0)
    assert np.abs(mean - 2).max() < 5 * 0.5 / np.sqrt(5000), f"the z should have mean 2, and have {mean.round(3)}"
    assert np.abs(deviation - 0.5).max() < 5 * 0.5 / np.sqrt(10_000), (
        f"the z should have deviation 0.5, and have {deviation.round(3)}"
    )


@reparameterisation
def test_gradients_reach_mean_and_variance(impl, fw, rng):
    noise = fw.array(rng.standard_normal((4, 3)), "float64")
    fw.check_gradients(
        lambda mean, log_variance: impl.reparameterize(mean, log_variance, noise),
        lambda mean, log_variance: mean + np.exp(log_variance / 2) * fw.numpy(noise),
        [rng.standard_normal((4, 3)) for _ in range(2)],
        names=("mean", "log_variance"),
    )


@reparameterisation
@pytest.mark.parametrize("told", [True, False], ids=["given noise", "own noise"])
def test_a_vanishing_variance_leaves_the_mean_and_finite_gradients(impl, fw, rng, told):
    noise = fw.array(rng.standard_normal((4, 3)), "float64") if told else None
    fw.check_gradients(
        lambda mean, log_variance: impl.reparameterize(mean, log_variance, noise),
        lambda mean, log_variance: mean,
        [rng.standard_normal((4, 3)), np.full((4, 3), -2000.0)],
        names=("mean", "log_variance"),
    )


# -------------------------------------------------------------------- 3 divergence


@divergence_level
@pytest.mark.parametrize("shape", [(5, 3), (1, 1), (2, 20)], ids=["small", "tiny", "wide"])
def test_the_divergence_is_the_closed_form(impl, fw, rng, shape):
    mean, log_variance = 2 * rng.standard_normal(shape), 2 * rng.standard_normal(shape)
    found = impl.kl_divergence(fw.array(mean), fw.array(log_variance))
    fw.close(found, divergence(mean, log_variance), of="divergence")


@divergence_level
@pytest.mark.parametrize("mean, log_variance", [(0.0, 0.0), (1.5, -1.0), (-0.5, 1.2)], ids=["prior", "sharp", "broad"])
def test_the_divergence_is_the_integral(impl, fw, mean, log_variance):
    """∫ q ln(q / p), over a grid."""
    z = np.linspace(-20, 20, 40_001)[:, None]
    logs = log_normal(z, mean, log_variance)
    integral = np.sum(np.exp(logs) * (logs - log_normal(z))) * (z[1, 0] - z[0, 0])
    found = impl.kl_divergence(fw.array(np.array([[mean]])), fw.array(np.array([[log_variance]])))
    fw.close(found, np.array([integral]), of="divergence")


@divergence_level
def test_gradients_of_the_divergence(impl, fw, rng):
    inputs = [rng.standard_normal((4, 3)) for _ in range(2)]
    fw.check_gradients(impl.kl_divergence, divergence, inputs, names=("mean", "log_variance"))


# -------------------------------------------------------------------- 4 the loss


@loss
@pytest.mark.parametrize(
    "shapes", [((4, 6), (4, 6)), ((3, 4, 6), (4, 6)), ((1, 1), (1, 1))], ids=["one", "many", "tiny"]
)
def test_the_reconstruction_is_judged_from_logits(impl, fw, rng, shapes):
    logits, x = 3 * rng.standard_normal(shapes[0]), rng.uniform(0, 1, shapes[1])
    found = impl.reconstruction_loss(fw.array(logits), fw.array(x))
    fw.close(found, surprise(logits, x), of="reconstruction loss")


@loss
def test_certain_pixels_do_no_harm(impl, fw):
    logits, x = np.array([[1000.0, -1000.0], [-1000.0, 1000.0], [90.0, -90.0]]), np.array([[1.0, 0.0]] * 3)
    found = impl.reconstruction_loss(fw.array(logits), fw.array(x))
    fw.close(found, surprise(logits, x), of="reconstruction loss")
    fw.check_gradients(
        lambda logits: impl.reconstruction_loss(logits, fw.array(x, "float64")),
        lambda logits: surprise(logits, x),
        [logits],
        names=["logits"],
    )


@loss
@pytest.mark.parametrize("beta", [None, 0.0, 0.3, 4.0])
def test_the_loss_is_the_mean_over_the_pictures(impl, fw, rng, beta):
    logits, x = rng.standard_normal((5, 6)), pixels(rng, 5, 6)
    mean, log_variance = (rng.standard_normal((5, 3)) for _ in range(2))
    given = {} if beta is None else {"beta": beta}
    found = impl.vae_loss(*map(fw.array, (logits, x, mean, log_variance)), **given)
    weight = 1 if beta is None else beta
    fw.close(found, np.mean(surprise(logits, x) + weight * divergence(mean, log_variance)), of="loss")


# -------------------------------------------------------------------- 5 the bound


@bound_level
@pytest.mark.parametrize("samples", [1, 7])
def test_the_estimate_weights_every_draw(impl, fw, rng, samples):
    model, x = filled(impl, fw, rng, 6, 5, 2, strength=0.7), pixels(rng, 4, 6)
    noise = rng.standard_normal((samples, 4, 2))
    found = impl.log_likelihood(model, fw.array(x), fw.array(noise))
    fw.close(found, estimated(weights_of(fw, model), x, noise), of="log p(x)", rtol=1e-3, atol=1e-3)


@bound_level
def test_weights_too_small_for_floating_point_do_no_harm(impl, fw, rng):
    model, x = filled(impl, fw, rng, 400, 5, 2), pixels(rng, 4, 400)
    noise = rng.standard_normal((7, 4, 2))
    expected = estimated(weights_of(fw, model), x, noise)
    assert expected.max() < -200, "the test is set wrongly: its pictures are too likely"
    fw.close(impl.log_likelihood(model, fw.array(x), fw.array(noise)), expected, of="log p(x)", rtol=1e-3)


@bound_level
def test_the_bound_stays_below_what_the_estimate_finds(impl, fw, rng):
    """One latent variable, so log p(x) is an integral over a line; 100 copies with 30 draws make 3000 draws.

    The encoder is weak, so that its draws lie about where the prior's do.
    """
    model, x = filled(impl, fw, rng, 6, 5, 1), pixels(rng, 4, 6)
    for head in (model.mean, model.log_variance):
        fw.set_weights(head, {key: old / 10 for key, old in fw.weights(head).items()})
    exact, copies = integrated(weights_of(fw, model), x), fw.array(np.repeat(x, 100, axis=0))
    estimates = fw.numpy(impl.log_likelihood(model, copies, fw.array(rng.standard_normal((30, 400, 1)))))
    found = np.log(np.exp(estimates.astype("float64")).reshape(4, 100).mean(axis=1))
    assert np.abs(found - exact).max() < 0.1, f"log p(x) is {exact.round(3)} by an integral; you find {found.round(3)}"
    for index in range(len(x)):
        repeated = fw.array(np.repeat(x[index : index + 1], 3000, axis=0))
        logits, mean, log_variance = model(repeated)
        bound = -float(fw.numpy(impl.vae_loss(logits, repeated, mean, log_variance)))
        assert bound < exact[index] + 0.02, f"the bound on log p(x) is {bound:.3f}, above log p(x) = {exact[index]:.3f}"


# -------------------------------------------------------------------- 6 learns


@learns
@pytest.mark.parametrize("beta", [None, 0.25])
def test_each_batch_is_one_step_of_adam(impl, fw, rng, beta):
    """Adam's first step moves every weight that has a gradient by the learning rate."""
    model, x = silence(fw, filled(impl, fw, rng, 6, 5, 2)), pixels(rng, 8, 6)
    before = weights_of(fw, model)
    mean, log_variance = encoded(before, x)
    weight = 1 if beta is None else beta
    expected = np.mean(surprise(decoded(before, mean), x) + weight * divergence(mean, log_variance))
    losses = impl.train(model, [fw.array(x)], 0.01, **({} if beta is None else {"beta": beta}))
    assert losses == pytest.approx([expected], rel=1e-3), f"one batch, whose loss is {expected:.4f}; you found {losses}"
    assert isinstance(losses[0], float), f"the loss is a {type(losses[0]).__name__}, not a float"
    after = weights_of(fw, model)
    for name in LAYERS:
        moved = np.abs(after[name]["bias"] - before[name]["bias"]).max()
        assert moved == pytest.approx(0.01, rel=0.05), (
            f"the biases of {name} should move by 0.01; they move by {moved:.4f}"
        )


@learns
def test_each_loss_is_that_of_its_own_batch(impl, fw, rng):
    """Steps so small that they change nothing, and batches of different sizes that come from a generator."""
    model = silence(fw, filled(impl, fw, rng, 6, 5, 2))
    weights, batches = weights_of(fw, model), [pixels(rng, size, 6) for size in (3, 8, 1)]
    expected = []
    for x in batches:
        mean, log_variance = encoded(weights, x)
        expected.append(np.mean(surprise(decoded(weights, mean), x) + divergence(mean, log_variance)))
    losses = impl.train(model, (fw.array(x) for x in batches), 1e-7)
    assert losses == pytest.approx(expected, rel=1e-3), f"three batches, with the losses {expected}; you found {losses}"


@learns
def test_adam_remembers_the_batches_before(impl, fw, rng):
    """A white batch, then a black one, to a decoder that is hardly decided: their gradients are opposite.

    Adam, which remembers the first, goes back by a tenth of a step; a new Adam for each batch goes back all the way.
    """
    model, rate = silence(fw, filled(impl, fw, rng, 4, 3, 2)), 1e-3
    fw.set_weights(model.pixels, {"kernel": np.zeros((3, 4)), "bias": np.full(4, 0.1)})
    impl.train(model, [fw.array(np.ones((8, 4))), fw.array(np.zeros((8, 4)))], rate)
    moved = (fw.weights(model.pixels)["bias"] - 0.1) / rate
    assert np.all((moved > 0.8) & (moved < 1.0)), (
        f"after a step forth and one back, the biases of the pixels should be 0.9 learning rates from their beginning; "
        f"they are {moved.min():.2f} to {moved.max():.2f}. Is it one Adam, at its usual settings, for all batches?"
    )


@learns
def test_new_pictures_come_from_the_prior(impl, fw):
    """A decoder that shows z itself: its logits are the z. The tolerances are five standard errors."""
    model = show_z(fw, make(impl, fw, 2, 4, 2))
    drawn = impl.sample(model, 5000)
    fw.check_shape(drawn, (5000, 2), of="samples")
    p = fw.numpy(drawn).astype("float64")
    assert p.min() > 0 and p.max() < 1, f"samples are probabilities, but they reach from {p.min():.2f} to {p.max():.2f}"
    z = np.log(p / (1 - p))
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(5000), f"z should have mean 0, but has {z.mean(axis=0).round(3)}"
    assert np.abs(z.std(axis=0) - 1).max() < 5 / np.sqrt(10_000), (
        f"z should have deviation 1, not {z.std(axis=0).round(3)}"
    )
    assert abs(np.corrcoef(z.T)[0, 1]) < 5 / np.sqrt(5000), "the entries of z should be independent"


def digits():
    """1797 digits of 8 × 8 pixels, black or white: 1400 to learn from and the rest."""
    from sklearn.datasets import load_digits

    x = (load_digits().data >= 8).astype("float64")
    return x[:1400], x[1400:]


def distance_to(pictures, known):
    """The mean distance of a picture to the most similar one that is known."""
    squares = (pictures**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * pictures @ known.T
    return np.sqrt(squares.min(axis=1).clip(0)).mean()


_trained = {}  # an implementation to its trained model: two tests look at one


@pytest.fixture
def trained(impl, fw):
    if impl not in _trained:
        known, _ = digits()
        model = make(impl, fw, 64, 64, 6)
        impl.train(model, [fw.array(known[start : start + 100]) for start in range(0, 1400, 100)] * 10, 0.01)
        _trained[impl] = model
    return _trained[impl]


@learns
@pytest.mark.timeout(60)  # TensorFlow takes a while for each step that is not traced
def test_unseen_digits_surprise_it_less_than_independent_pixels(fw, rng, trained):
    """Over ten seeds and both frameworks: 20.3 to 22.3 nats, of which the latent variables take 2.1 to 4.2."""
    known, unseen = digits()
    weights = weights_of(fw, trained)
    mean, log_variance = encoded(weights, unseen)
    z = mean + np.exp(log_variance / 2) * rng.standard_normal(mean.shape)
    told = divergence(mean, log_variance).mean()
    found = surprise(decoded(weights, z), unseen).mean() + told
    odds = (known.sum(axis=0) + 0.5) / (len(known) + 1)
    baseline = surprise(np.log(odds / (1 - odds)), unseen).mean()
    assert baseline > 24, f"independent pixels should do worse than {baseline:.1f} nats"
    assert found < 23.2, f"unseen digits cost {found:.1f} nats after training; independent pixels cost {baseline:.1f}"
    assert told > 1, f"the latent variables tell {told:.2f} nats about a digit: the decoder does not listen to them"


@learns
@pytest.mark.timeout(60)
def test_its_samples_look_more_like_digits_than_independent_pixels(impl, fw, rng, trained):
    """Over ten seeds and both frameworks: 2.44 to 2.61; independent pixels 2.81 to 2.88."""
    known, _ = digits()
    odds = fw.numpy(impl.sample(trained, 300)).astype("float64")
    found = distance_to((rng.random(odds.shape) < odds).astype("float64"), known)
    baseline = distance_to((rng.random(odds.shape) < known.mean(axis=0)).astype("float64"), known)
    assert baseline > 2.75, f"independent pixels should lie further from digits than {baseline:.2f}"
    assert found < 2.7, f"samples lie {found:.2f} from the next digit; independent pixels lie {baseline:.2f} from it"


@pytest.mark.gpu
@networks
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    model, x = impl.VAE(5, 7, 3), pixels(rng, 6, 5)
    if gpu.name == "torch":
        model.to(gpu.device)
    logits, mean, _ = model(gpu.array(x))
    gpu.check_device(logits, of="logits")
    gpu.close(mean, encoded(weights_of(gpu, model), x)[0], of="mean", atol=1e-4)
    gpu.check_device(impl.sample(model, 3), of="samples")
