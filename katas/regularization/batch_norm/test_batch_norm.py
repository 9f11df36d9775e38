"""Levels of the batch normalisation kata. Expected values come from `by_hand` in float64 NumPy, from its finite
differences, and from official layers. `fw.images` hands (N, C) and (N, H, W, C) over in the framework's own layout."""

import numpy as np
import pytest

from dojo import level
from dojo.testing import data

refusals = level(1, "shapes and refusals")
batch_values = level(2, "values in training", points=2)
running_statistics = level(3, "running statistics", points=2)
evaluation = level(4, "evaluation", points=2)
gradients = level(5, "gradients", points=3)
edges = level(6, "numerical edges")
no_loops = level(7, "no loops")
learns = level(8, "learns", points=2)

SHAPES = {"table": (6, 3), "pair": (2, 1), "one-feature": (5, 1), "wide": (3, 7)}
SHAPES |= {"images": (2, 3, 4, 5), "one-image": (1, 2, 1, 3), "one-pixel": (3, 1, 1, 2), "one-channel": (4, 3, 3, 1)}
STATISTICS = ["running_mean", "running_var"]
STATE = ["gamma", "beta", *STATISTICS]

each_eps = pytest.mark.parametrize("options", [{}, {"eps": 0.5}], ids=["usual-eps", "large-eps"])
small_inputs = pytest.mark.parametrize("shape", [(5, 3), (2, 3, 2, 3)], ids=["table", "images"])
large_inputs = pytest.mark.parametrize("shape", [(32, 3), (2, 4, 4, 3)], ids=["table", "images"])


def statistics(x, ddof=0):
    """Mean and variance of each feature, float64."""
    features = np.asarray(x, "float64").reshape(-1, x.shape[-1])
    return features.mean(axis=0), features.var(axis=0, ddof=ddof)


def by_hand(x, gamma, beta, eps=1e-5, kept=None):
    """Batch normalisation with the mean and variance of x, or with those that were kept."""
    mean, variance = statistics(x) if kept is None else kept
    return gamma * (np.asarray(x, "float64") - mean) / np.sqrt(variance + eps) + beta


def slopes(f, arrays, cotangent, step=1e-5):
    """The gradient of sum(cotangent · f(*arrays)) for each array, by central differences, entry by entry."""
    found = []
    for i, array in enumerate(arrays):
        before, after = arrays[:i], arrays[i + 1 :]
        bumps = step * np.eye(array.size).reshape(-1, *array.shape)
        ends = [(f(*before, array + bump, *after), f(*before, array - bump, *after)) for bump in bumps]
        found.append(np.array([np.sum(cotangent * (up - down)) for up, down in ends]).reshape(array.shape) / (2 * step))
    return found


def check_backward(impl, fw, rng, inputs, dtype="float32", rtol=1e-3, atol=1e-4, put=None, **options):
    """What `normalize_backward` gives for tensors that `put` makes of the inputs."""
    cotangent = rng.standard_normal(inputs[0].shape)
    expected = slopes(lambda *arrays: by_hand(*arrays, **options), inputs, cotangent)
    arrays = [fw.own_layout(array) for array in (cotangent, *inputs[:2])]
    tensors = [(put or fw.array)(array, dtype) for array in arrays]
    found = impl.normalize_backward(*tensors, **options)
    names = ["gradient of x", "gradient of gamma", "gradient of beta"]
    fw.close_all(found, map(fw.own_layout, expected), names, dtype=dtype, rtol=rtol, atol=atol)
    fw.check_all_unchanged(tensors, arrays, ["grad", "x", "gamma"])


def drawn(rng, shape):
    """x, with features of different mean and spread, gamma and beta."""
    features = shape[-1]
    spread, offset = 1 + 2 * rng.random(features), 3 * rng.standard_normal(features)
    x = rng.standard_normal(shape) * spread + offset
    return x, 1 + rng.random(features), rng.standard_normal(features)


def layer_for(impl, shape, **options):
    return {2: impl.BatchNorm1d, 4: impl.BatchNorm2d}[len(shape)](shape[-1], **options)


def used_layer(impl, fw, rng, shape, **options):
    """A layer whose state is arbitrary, its gamma and beta, and its running mean and variance."""
    layer, (_, *affine) = layer_for(impl, shape, **options), drawn(rng, shape)
    kept = [rng.standard_normal(shape[-1]), 0.1 + rng.random(shape[-1])]
    for name, value in zip(STATE, affine + kept, strict=True):
        fw.assign(getattr(layer, name), value, of=name)
    return layer, affine, kept


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def inputs(request, rng):
    return drawn(rng, request.param)


@refusals
def test_every_feature_gets_its_own_statistics(impl, fw, inputs):
    given = [fw.images(array) for array in inputs]
    y, mean, variance = impl.normalize(*given)
    fw.check_shape(y, fw.own_layout(inputs[0]).shape, of="y")
    fw.check_shape(mean, inputs[1].shape, of="mean")
    fw.check_shape(variance, inputs[1].shape, of="variance")
    fw.check_all_unchanged(given, map(fw.own_layout, inputs), ["x", "gamma", "beta"])


@refusals
@pytest.mark.parametrize("shape", [(1, 3), (1, 1), (0, 3), (1, 1, 1, 4)], ids=["row", "number", "empty", "pixel"])
def test_less_than_two_values_per_feature_are_refused_in_training(impl, fw, rng, shape):
    x, gamma, beta = map(fw.images, drawn(rng, shape))
    with pytest.raises(ValueError):
        impl.normalize(x, gamma, beta)
    with pytest.raises(ValueError):
        fw.call(layer_for(impl, shape), x, training=True)


@refusals
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [("BatchNorm1d", (4, 2)), ("BatchNorm1d", (4, 2, 2, 3)), ("BatchNorm2d", (4, 2, 2, 4)), ("BatchNorm2d", (4, 3))],
    ids=["narrow-table", "table-layer-on-images", "deep-images", "image-layer-on-table"],
)
def test_inputs_that_do_not_fit_the_layer_are_refused(impl, fw, rng, kind, shape, training):
    layer = getattr(impl, kind)(3)
    with pytest.raises(ValueError):
        fw.call(layer, fw.images(rng.standard_normal(shape)), training=training)


@refusals
def test_a_new_layer_changes_nothing_yet(impl, fw):
    for layer in (impl.BatchNorm1d(3), impl.BatchNorm2d(3)):
        for name, value in zip(STATE, (1.0, 0.0, 0.0, 1.0), strict=True):
            fw.close(getattr(layer, name), np.full(3, value), of=f"{name} of a new layer")


@batch_values
@each_eps
def test_the_formula(impl, fw, inputs, options):
    y, *found = impl.normalize(*map(fw.images, inputs), **options)
    fw.close_all(found, statistics(inputs[0]), ["mean", "variance"])
    fw.close(y, fw.own_layout(by_hand(*inputs, **options)), of="y", atol=1e-4)


@batch_values
@each_eps
def test_the_layer_normalises_by_its_batch(impl, fw, rng, inputs, options):
    layer, affine, _ = used_layer(impl, fw, rng, inputs[0].shape, **options)
    x = fw.images(inputs[0])
    y = fw.call(layer, x, training=True)
    fw.close(y, fw.own_layout(by_hand(inputs[0], *affine, **options)), of="y in training", atol=1e-4)
    fw.check_unchanged(x, fw.own_layout(inputs[0]), of="x")


@pytest.mark.gpu
@batch_values
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    inputs = drawn(rng, (2, 3, 4, 5))
    y, mean, _ = impl.normalize(*map(gpu.images, inputs))
    gpu.check_device(y)
    gpu.check_device(mean)
    gpu.close(y, gpu.own_layout(by_hand(*inputs)), of="y", atol=1e-4)


@running_statistics
@pytest.mark.parametrize(("convention", "share_of_the_batch"), [("torch", 0.2), ("keras", 0.8)], ids=["new", "kept"])
def test_the_two_conventions_are_opposite(impl, fw, rng, convention, share_of_the_batch):
    running, batch = rng.standard_normal(4), rng.standard_normal(4)
    before = fw.array(running)
    result = impl.update_running(before, fw.array(batch), 0.2, convention)
    fw.close(result, running + share_of_the_batch * (batch - running), of=f"{convention} with 0.2")
    fw.check_unchanged(before, running, of="running")


@running_statistics
def test_a_third_convention_is_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.update_running(fw.array(np.zeros(2)), fw.array(np.ones(2)), 0.1, "mxnet")


@running_statistics
@pytest.mark.parametrize("options", [{}, {"momentum": 0.3}], ids=["usual", "faster"])
@pytest.mark.parametrize("sizes", [[(4,), (2,), (7,)], [(2, 3, 2), (1, 1, 2), (3, 2, 2)]], ids=["tables", "images"])
def test_the_running_statistics_follow_the_batches(impl, fw, rng, sizes, options):
    """Called as in a training loop: in TensorFlow in a graph, which does not know the batch size."""
    layer = layer_for(impl, (*sizes[0], 3), **options)
    step = fw.traced(lambda x: fw.call(layer, x, training=True))
    share, running = options.get("momentum", 0.1), np.array([np.zeros(3), np.ones(3)])
    for size in sizes:
        x = 2 + 3 * rng.standard_normal((*size, 3))
        step(fw.images(x))
        running += share * (statistics(x, ddof=1) - running)
        fw.close_all([layer.running_mean, layer.running_var], running, STATISTICS)


@running_statistics(autograd=True)
@small_inputs
def test_the_official_layer_keeps_the_same(impl, fw, rng, shape):
    """Keras keeps the biased variance, which is compared after the factor n / (n − 1)."""
    x, count = fw.images(drawn(rng, shape)[0]), np.prod(shape[:-1])
    (official,) = fw.layers(fw.sequential(shape[1:], "norm"))
    expected, layer = fw.numpy(fw.call(official, x, training=True)), layer_for(impl, shape)
    fw.close(fw.call(layer, x, training=True), expected, of="y in training", atol=1e-4)
    kept = fw.weights(official)
    factor = {"torch": 1, "tensorflow": count / (count - 1)}[fw.name]
    kept["variance"] = 0.9 + (kept["variance"] - 0.9) * factor
    fw.close_all([layer.running_mean, layer.running_var], [kept["mean"], kept["variance"]], STATISTICS)


@running_statistics(autograd=True)
def test_scale_and_shift_are_trained_and_the_statistics_only_kept(impl, fw):
    for layer in (impl.BatchNorm1d(3), impl.BatchNorm2d(3)):
        kind, names = type(layer).__name__, sorted(fw.parameters(layer)) or "none"
        trained, saved = ({id(t) for t in tensors(layer).values()} for tensors in (fw.parameters, fw.variables))
        assert trained == {id(layer.gamma), id(layer.beta)}, f"{kind} trains {names}, but should gamma and beta alone"
        for name in STATISTICS:
            assert id(getattr(layer, name)) in saved, f"{kind}: {name} is not saved with the layer. Register it."


@evaluation
@each_eps
def test_the_running_statistics_are_used_and_left_alone(impl, fw, rng, inputs, options):
    layer, affine, kept = used_layer(impl, fw, rng, inputs[0].shape, **options)
    x = fw.images(inputs[0])
    y = fw.call(layer, x, training=False)
    fw.close(y, fw.own_layout(by_hand(inputs[0], *affine, kept=kept, **options)), of="y in evaluation", atol=1e-4)
    fw.check_unchanged(x, fw.own_layout(inputs[0]), of="x")
    fw.close_all(
        [getattr(layer, name) for name in STATE], affine + kept, [f"{name} after evaluation" for name in STATE]
    )


@evaluation
@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 2)], ids=["row", "pixel"])
def test_a_batch_of_one_is_welcome(impl, fw, rng, shape):
    layer, affine, kept = used_layer(impl, fw, rng, shape)
    x = rng.standard_normal(shape)
    y = fw.call(layer, fw.images(x), training=False)
    fw.close(y, fw.own_layout(by_hand(x, *affine, kept=kept)), of="y of one example")


@evaluation
@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 1, 3)], ids=["table", "images"])
def test_a_call_that_says_nothing_is_evaluation(impl, fw, rng, shape):
    """Where the call takes `training`; a PyTorch module is told by eval()."""
    layer, affine, kept = used_layer(impl, fw, rng, shape)
    x = rng.standard_normal(shape)
    fw.set_mode(layer, training=False)
    fw.close(layer(fw.images(x)), fw.own_layout(by_hand(x, *affine, kept=kept)), of="y of a plain call", atol=1e-4)


@evaluation
def test_training_and_evaluation_alternate(impl, fw, rng):
    """Evaluation between two steps of training does not disturb them, and sees the latest statistics."""
    layer, mean, variance = impl.BatchNorm1d(2, momentum=0.5), np.zeros(2), np.ones(2)
    for _ in range(2):
        x, new = 1 + 2 * rng.standard_normal((5, 2)), rng.standard_normal((3, 2))
        fw.call(layer, fw.array(x), training=True)
        mean, variance = (mean + x.mean(0)) / 2, (variance + x.var(0, ddof=1)) / 2
        y = fw.call(layer, fw.array(new), training=False)
        fw.close(y, by_hand(new, 1, 0, kept=(mean, variance)), of="y in evaluation", atol=1e-4)


@gradients
@each_eps
def test_the_backward_pass_by_hand(impl, fw, rng, inputs, options):
    check_backward(impl, fw, rng, inputs, "float64", rtol=1e-5, atol=1e-6, **options)


@gradients
def test_the_backward_pass_keeps_float32(impl, fw, rng):
    check_backward(impl, fw, rng, drawn(rng, (5, 3)))


@gradients(autograd=True)
def test_gradients_flow_through_the_batch_statistics(impl, fw, inputs):
    fw.check_gradients(
        lambda *tensors: impl.normalize(*tensors, 0.01)[0],
        lambda x, *affine: fw.own_layout(by_hand(fw.common_layout(x), *affine, 0.01)),
        [fw.own_layout(array) for array in inputs],
        names=("x", "gamma", "beta"),
    )


@gradients(autograd=True)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@small_inputs
def test_gradients_reach_the_input_and_the_parameters_of_a_layer(impl, fw, rng, shape, training):
    layer, affine, kept = used_layer(impl, fw, rng, shape)
    x, cotangent = 3 * rng.standard_normal(shape), rng.standard_normal(shape)
    given, factor, used = fw.images(x), fw.images(cotangent), None if training else kept

    def running():
        fw.call(layer, given, training=training)
        return fw.sum(layer.running_mean) + fw.sum(layer.running_var)

    assert fw.gradients(running, [given]) == [None], "running statistics in the graph: update them without gradients"
    tensors = [given, layer.gamma, layer.beta]
    found = fw.gradients(lambda: fw.sum(fw.call(layer, given, training=training) * factor), tensors)
    expected = map(fw.own_layout, slopes(lambda *arrays: by_hand(*arrays, kept=used), (x, *affine), cotangent))
    names = [f"{name} through the layer" for name in ("x", "gamma", "beta")]
    fw.close_gradients(found, expected, names, rtol=1e-3, atol=1e-4)


@edges
@pytest.mark.parametrize("constant", [0.0, -3.0, 1000.0])
def test_a_constant_feature_becomes_beta(impl, fw, rng, constant):
    """Its variance is 0: ε alone keeps the division, and the gradient, finite."""
    x, gamma, beta = drawn(rng, (8, 2))
    x[:, 1] = constant
    y, _, variance = impl.normalize(*map(fw.array, (x, gamma, beta)))
    fw.close(variance, x.var(0), of="variance")
    fw.close(y, by_hand(x, gamma, beta), of="y", atol=1e-4)
    check_backward(impl, fw, rng, (x, gamma, beta), atol=1e-5)


@edges
@large_inputs
def test_a_large_mean_does_not_eat_the_variance(impl, fw, rng, shape):
    """In float32 the squares of numbers around 2000 are too coarse to show a spread of 1."""
    x, (_, gamma, beta) = (2000 + rng.standard_normal(shape)).astype("float32"), drawn(rng, shape)
    y, _, variance = impl.normalize(*map(fw.images, (x, gamma, beta)))
    fw.close(variance, statistics(x)[1], of="variance", rtol=1e-2)
    fw.close(y, fw.own_layout(by_hand(x, gamma, beta)), of="y", atol=1e-2)
    check_backward(impl, fw, rng, (x, gamma, beta), rtol=1e-4, atol=1e-2)


@edges
@large_inputs
def test_float16_is_computed_in_float32(impl, fw, rng, shape):
    """The squares of these values do not fit into float16, the result does."""
    x, (_, gamma, beta) = (1000 * rng.standard_normal(shape)).astype("float16"), drawn(rng, shape)
    y, mean, variance = impl.normalize(fw.images(x, "float16"), fw.array(gamma), fw.array(beta))
    fw.close(mean, statistics(x)[0], of="mean of float16", dtype="float32", atol=1e-2)
    fw.close(variance, statistics(x)[1], of="variance of float16", dtype="float32")
    fw.close(y, fw.own_layout(by_hand(x, gamma, beta)), of="y", dtype="float16")


@edges
def test_float64_stays_float64(impl, fw, inputs):
    found = impl.normalize(*(fw.images(array, "float64") for array in inputs))
    expected = fw.own_layout(by_hand(*inputs)), *statistics(inputs[0])
    fw.close_all(found, expected, ["y", "mean", "variance"], dtype="float64")


@edges
def test_memory_may_lie_in_any_order(impl, fw, rng):
    x, gamma, beta = inputs = drawn(rng, (5, 3))
    y, _, _ = impl.normalize(fw.strided(x), fw.array(gamma), fw.array(beta))
    fw.close(y, by_hand(*inputs), of="y")
    check_backward(impl, fw, rng, inputs, put=fw.strided)


@no_loops
@pytest.mark.parametrize("grid", [(), (4, 4)], ids=["tables", "images"])
def test_one_operation_serves_all_features(impl, fw, rng, grid):
    small, large = ([fw.own_layout(x) for x in drawn(rng, shape)] for shape in ((3, *grid, 2), (16, *grid, 32)))
    fw.check_no_loops(impl.normalize, small, large)
    fw.check_no_loops(impl.normalize_backward, [small[0], *small[:2]], [large[0], *large[:2]])


def share_right(impl, fw, seed, normalised, rate=0.5):
    """Train four layers of 24 logistic units by hand, in NumPy; the share of unseen digits that they get right."""
    (images, labels), (unseen, answers), rng = data.digits("train"), data.digits("test"), np.random.default_rng(seed)
    weights = [rng.standard_normal((inputs, 24)) / np.sqrt(inputs) for inputs in (64, 24, 24, 24)]
    top, gammas, betas = np.zeros((24, 10)), np.ones((4, 24)), np.zeros((4, 24))
    layers = [impl.BatchNorm1d(24) for _ in range(4)]

    def forward(x, training):
        """The sums that enter each layer's units, and x with what leaves each layer."""
        sums, leaving = [], [x]
        for weight, gamma, beta, layer in zip(weights, gammas, betas, layers, strict=True):
            sums.append(leaving[-1] @ weight)
            y = sums[-1] + beta
            if normalised:
                fw.assign(layer.gamma, gamma)
                fw.assign(layer.beta, beta)
                y = fw.numpy(fw.call(layer, fw.array(sums[-1]), training=training))
            leaving.append(1 / (1 + np.exp(-y.astype("float64"))))
        return sums, leaving

    for batch in rng.integers(len(images), size=(120, 64)):
        sums, leaving = forward(images[batch], training=True)
        chances = np.exp(leaving[-1] @ top) / np.exp(leaving[-1] @ top).sum(axis=1, keepdims=True)
        slope = (chances - np.eye(10)[labels[batch]]) / len(batch)
        above, top = slope @ top.T, top - rate * leaving[-1].T @ slope
        for i in reversed(range(4)):
            slope = above * leaving[i + 1] * (1 - leaving[i + 1])
            to_gamma, to_beta = 0, slope.sum(axis=0)
            if normalised:
                tensors = map(fw.array, (slope, sums[i], gammas[i]))
                slope, to_gamma, to_beta = map(fw.numpy, impl.normalize_backward(*tensors))
            above = slope @ weights[i].T
            weights[i] -= rate * leaving[i].T @ slope
            gammas[i] -= rate * to_gamma
            betas[i] -= rate * to_beta
    return np.mean((forward(unseen, training=False)[1][-1] @ top).argmax(axis=1) == answers)


@learns
def test_a_deep_network_learns_digits_only_with_it(impl, fw):
    """120 steps. Over ten seeds 0.91 to 0.96 of the unseen digits are right with it, and 0.09 to 0.10 without."""
    without, right = (share_right(impl, fw, 0, normalised) for normalised in (False, True))
    assert without < 0.2, f"without normalisation {without:.2f} are right: the baseline is too easy"
    assert right > 0.85, f"with your layer {right:.2f} are right, expected over 0.85; without it {without:.2f}"
