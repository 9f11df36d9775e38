"""Levels of the batch normalisation kata. Expected values come from `by_hand`, in float64 NumPy, from its finite
differences, and from the frameworks' own layers.

Images are made as (batch, height, width, channel) and handed over in the framework's own layout.
"""

import numpy as np
import pytest

from dojo import level

shapes_refusals = level(1, "shapes and refusals")
values_training = level(2, "values in training", points=2)
running_statistics = level(3, "running statistics", points=2)
evaluation = level(4, "evaluation", points=2)
gradients = level(5, "gradients", points=3)
numerical_edges = level(6, "numerical edges")
no_loops = level(7, "no loops")
learns = level(8, "learns", points=2)

TABLES = [(6, 3), (2, 1), (5, 1), (3, 7)]
IMAGES = [(2, 3, 4, 5), (1, 2, 1, 3), (3, 1, 1, 2), (4, 3, 3, 1)]
SHAPES = TABLES + IMAGES
NAMES = ["table", "pair", "one-feature", "wide", "images", "one-image", "one-pixel", "one-channel"]


# -------------------------------------------------------------------- oracles


def own(fw, x):
    """(N, C) as it is; (N, H, W, C) in the framework's own layout."""
    return np.moveaxis(x, -1, 1) if fw.name == "torch" and x.ndim == 4 else x


def feature_axis(fw):
    return 1 if fw.name == "torch" else -1


def statistics(x, axis, ddof):
    """Mean and variance of each feature, float64."""
    features = np.moveaxis(np.asarray(x, "float64"), axis, 0)
    features = features.reshape(len(features), -1)
    return features.mean(axis=1), features.var(axis=1, ddof=ddof)


def scaled(x, mean, variance, gamma, beta, eps, axis):
    """γ (x − mean) / √(variance + ε) + β as it reads, float64."""
    features_last = np.moveaxis(np.asarray(x, "float64"), axis, -1)
    return np.moveaxis(gamma * (features_last - mean) / np.sqrt(variance + eps) + beta, -1, axis)


def by_hand(x, gamma, beta, eps, axis):
    """Batch normalisation in training."""
    return scaled(x, *statistics(x, axis, ddof=0), gamma, beta, eps, axis)


def slopes(f, x, cotangent, step=1e-5):
    """The gradient of sum(cotangent · f(x)) by central differences, entry by entry."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        there, back = x.copy(), x.copy()
        there[index] += step
        back[index] -= step
        gradient[index] = np.sum(cotangent * (f(there) - f(back))) / (2 * step)
    return gradient


def gradients_by_hand(cotangent, x, gamma, beta, f):
    """The gradients of sum(cotangent · f(x, gamma, beta)) with respect to each."""
    return (
        slopes(lambda x: f(x, gamma, beta), x, cotangent),
        slopes(lambda gamma: f(x, gamma, beta), gamma, cotangent),
        slopes(lambda beta: f(x, gamma, beta), beta, cotangent),
    )


# -------------------------------------------------------------------- layers in each framework


def layer_for(impl, shape, **options):
    return {2: impl.BatchNorm1d, 4: impl.BatchNorm2d}[len(shape)](shape[-1], **options)


def write(fw, layer, **state):
    """Put arrays into the layer's state."""
    for name, value in state.items():
        variable = getattr(layer, name)
        if fw.name == "torch":
            variable.data.copy_(fw.array(value))
        elif fw.name == "tensorflow":
            variable.assign(fw.array(value))
        else:
            variable[...] = value


def in_training(fw, layer):
    """The layer as a training loop calls it: in TensorFlow from a graph that does not know the batch size."""
    if fw.name != "tensorflow":
        return lambda x: fw.call(layer, x, training=True)
    import tensorflow as tf

    return tf.function(lambda x: layer(x, training=True), reduce_retracing=True)


def layer_gradients(fw, layer, x, cotangent, training):
    """The gradients of sum(cotangent · layer(x)) with respect to x, gamma and beta, by the framework; None if none."""
    if fw.name == "torch":
        import torch

        leaves = [fw.array(x).requires_grad_(), layer.gamma, layer.beta]
        total = (fw.call(layer, leaves[0], training=training) * fw.array(cotangent)).sum()
        return torch.autograd.grad(total, leaves, allow_unused=True) if total.requires_grad else [None] * 3
    import tensorflow as tf

    x = fw.array(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(fw.call(layer, x, training=training) * fw.array(cotangent))
    return tape.gradient(total, [x, layer.gamma, layer.beta])


def affine(rng, shape):
    """Some gamma and beta."""
    return 1 + rng.random(shape[-1]), rng.standard_normal(shape[-1])


@pytest.fixture(params=SHAPES, ids=NAMES)
def shape(request):
    return request.param


@pytest.fixture
def x(rng, shape, fw):
    """Features of different mean and spread, in the framework's own layout."""
    spread, offset = 1 + 2 * rng.random(shape[-1]), 3 * rng.standard_normal(shape[-1])
    return own(fw, rng.standard_normal(shape) * spread + offset)


# -------------------------------------------------------------------- 1


@shapes_refusals
def test_every_feature_gets_its_own_statistics(impl, fw, rng, x, shape):
    gamma, beta = affine(rng, shape)
    before = fw.array(x)
    y, mean, variance = impl.normalize(before, fw.array(gamma), fw.array(beta))
    fw.check_shape(y, x.shape, of="y")
    fw.check_shape(mean, shape[-1:], of="mean")
    fw.check_shape(variance, shape[-1:], of="variance")
    fw.check_unchanged(before, x, of="x")


@shapes_refusals
@pytest.mark.parametrize("shape", [(1, 3), (1, 1), (0, 3), (1, 1, 1, 4)], ids=["row", "number", "empty", "pixel"])
def test_less_than_two_values_per_feature_are_refused_in_training(impl, fw, rng, shape):
    x = fw.array(own(fw, rng.standard_normal(shape)))
    gamma, beta = map(fw.array, affine(rng, shape))
    with pytest.raises(ValueError):
        impl.normalize(x, gamma, beta)
    with pytest.raises(ValueError):
        fw.call(layer_for(impl, shape), x, training=True)


@shapes_refusals
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [("BatchNorm1d", (4, 2)), ("BatchNorm1d", (4, 2, 2, 3)), ("BatchNorm2d", (4, 2, 2, 4)), ("BatchNorm2d", (4, 3))],
    ids=["narrow-table", "table-layer-on-images", "deep-images", "image-layer-on-table"],
)
def test_inputs_that_do_not_fit_the_layer_are_refused(impl, fw, rng, kind, shape, training):
    layer = getattr(impl, kind)(3)
    with pytest.raises(ValueError):
        fw.call(layer, fw.array(own(fw, rng.standard_normal(shape))), training=training)


@shapes_refusals
def test_a_new_layer_changes_nothing_yet(impl, fw):
    for kind in (impl.BatchNorm1d, impl.BatchNorm2d):
        layer = kind(3)
        fw.close(layer.gamma, np.ones(3), of="gamma of a new layer")
        fw.close(layer.beta, np.zeros(3), of="beta of a new layer")
        fw.close(layer.running_mean, np.zeros(3), of="running_mean of a new layer")
        fw.close(layer.running_var, np.ones(3), of="running_var of a new layer")


# -------------------------------------------------------------------- 2


@values_training
@pytest.mark.parametrize("eps", [None, 0.5], ids=["usual-eps", "large-eps"])
def test_the_formula(impl, fw, rng, x, shape, eps):
    gamma, beta = affine(rng, shape)
    options = {} if eps is None else {"eps": eps}
    y, mean, variance = impl.normalize(*map(fw.array, (x, gamma, beta)), **options)
    expected_mean, expected_variance = statistics(x, feature_axis(fw), ddof=0)
    fw.close(mean, expected_mean, of="mean")
    fw.close(variance, expected_variance, of="variance")
    fw.close(y, by_hand(x, gamma, beta, eps or 1e-5, feature_axis(fw)), of="y", atol=1e-4)


@values_training
@pytest.mark.parametrize("eps", [None, 0.5], ids=["usual-eps", "large-eps"])
def test_the_layer_normalises_by_its_batch(impl, fw, rng, x, shape, eps):
    gamma, beta = affine(rng, shape)
    layer = layer_for(impl, shape, **({} if eps is None else {"eps": eps}))
    write(fw, layer, gamma=gamma, beta=beta)
    given = fw.array(x)
    y = fw.call(layer, given, training=True)
    fw.close(y, by_hand(x, gamma, beta, eps or 1e-5, feature_axis(fw)), of="y in training", atol=1e-4)
    fw.check_unchanged(given, x, of="x")


@pytest.mark.gpu
@values_training
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    x, (gamma, beta) = own(gpu, rng.standard_normal((2, 3, 4, 5))), affine(rng, (5,))
    y, mean, _ = impl.normalize(*map(gpu.array, (x, gamma, beta)))
    gpu.check_device(y)
    gpu.check_device(mean)
    gpu.close(y, by_hand(x, gamma, beta, 1e-5, feature_axis(gpu)), of="y", atol=1e-4)


# -------------------------------------------------------------------- 3


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
@pytest.mark.parametrize("share", [None, 0.3], ids=["usual", "faster"])
@pytest.mark.parametrize("sizes", [[(4,), (2,), (7,)], [(2, 3, 2), (1, 1, 2), (3, 2, 2)]], ids=["tables", "images"])
def test_the_running_statistics_follow_the_batches(impl, fw, rng, sizes, share):
    """The mean, and the variance divided by n − 1, over batches of different size."""
    layer = layer_for(impl, (*sizes[0], 3), **({} if share is None else {"momentum": share}))
    step, axis, share = in_training(fw, layer), feature_axis(fw), share or 0.1
    mean, variance = np.zeros(3), np.ones(3)
    for size in sizes:
        x = own(fw, 2 + 3 * rng.standard_normal((*size, 3)))
        step(fw.array(x))
        batch_mean, batch_variance = statistics(x, axis, ddof=1)
        mean, variance = mean + share * (batch_mean - mean), variance + share * (batch_variance - variance)
        fw.close(layer.running_mean, mean, of="running_mean")
        fw.close(layer.running_var, variance, of="running_var")


@running_statistics(autograd=True)
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 2, 3)], ids=["table", "images"])
def test_the_official_layer_keeps_the_same(impl, fw, rng, shape):
    """With its own default: PyTorch's 0.1 is the share of the batch, Keras' 0.99 the share that stays.

    PyTorch's layer agrees to the letter. Keras keeps the biased variance: it is compared after the factor n / (n − 1).
    """
    x = own(fw, 2 + 3 * rng.standard_normal(shape))
    count, share = x.size // 3, {"torch": 0.1, "tensorflow": 1 - 0.99}[fw.name]
    layer = layer_for(impl, shape, momentum=share)
    if fw.name == "torch":
        from torch import nn

        official = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](3)
    else:
        import keras

        official = keras.layers.BatchNormalization(epsilon=1e-5)
    expected = fw.call(official, fw.array(x), training=True)
    fw.close(fw.call(layer, fw.array(x), training=True), fw.numpy(expected), of="y in training", atol=1e-4)
    kept = fw.weights(official)
    if fw.name == "tensorflow":
        kept["variance"] = (1 - share) + (kept["variance"] - (1 - share)) * count / (count - 1)
    fw.close(layer.running_mean, kept["mean"], of="running_mean")
    fw.close(layer.running_var, kept["variance"], of="running_var")


@running_statistics(autograd=True)
def test_scale_and_shift_are_trained_and_the_statistics_only_kept(impl, fw):
    for kind in (impl.BatchNorm1d, impl.BatchNorm2d):
        layer = kind(3)
        trained = {id(tensor) for tensor in fw.parameters(layer).values()}
        assert trained == {id(layer.gamma), id(layer.beta)}, (
            f"{kind.__name__}: exactly gamma and beta are trained, but the layer has these trainable tensors: "
            f"{sorted(fw.parameters(layer)) or 'none'}"
        )
        for name in ("running_mean", "running_var"):
            if fw.name == "torch":
                kept = name in layer.state_dict()
            else:
                kept = any(variable is getattr(layer, name) for variable in layer.non_trainable_variables)
            assert kept, f"{kind.__name__}: {name} is not saved with the layer. Register it."


# -------------------------------------------------------------------- 4


def worn_layer(impl, fw, rng, shape, **options):
    """A layer whose state is arbitrary, and that state."""
    layer, (gamma, beta) = layer_for(impl, shape, **options), affine(rng, shape)
    state = {"gamma": gamma, "beta": beta}
    state |= {"running_mean": rng.standard_normal(shape[-1]), "running_var": 0.1 + rng.random(shape[-1])}
    write(fw, layer, **state)
    return layer, state


def evaluated(x, state, axis, eps=1e-5):
    return scaled(x, state["running_mean"], state["running_var"], state["gamma"], state["beta"], eps, axis)


@evaluation
@pytest.mark.parametrize("eps", [None, 0.5], ids=["usual-eps", "large-eps"])
def test_the_running_statistics_are_used_and_left_alone(impl, fw, rng, x, shape, eps):
    layer, state = worn_layer(impl, fw, rng, shape, **({} if eps is None else {"eps": eps}))
    given = fw.array(x)
    y = fw.call(layer, given, training=False)
    fw.close(y, evaluated(x, state, feature_axis(fw), eps or 1e-5), of="y in evaluation", atol=1e-4)
    fw.check_unchanged(given, x, of="x")
    for name, value in state.items():
        fw.close(getattr(layer, name), value, of=f"{name} after a call in evaluation")


@evaluation
@pytest.mark.parametrize("shape", [(1, 3), (1, 1, 1, 2)], ids=["row", "pixel"])
def test_a_batch_of_one_is_welcome(impl, fw, rng, shape):
    layer, state = worn_layer(impl, fw, rng, shape)
    x = own(fw, rng.standard_normal(shape))
    y = fw.call(layer, fw.array(x), training=False)
    fw.close(y, evaluated(x, state, feature_axis(fw)), of="y of one example")


@evaluation
@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 1, 3)], ids=["table", "images"])
def test_a_call_that_says_nothing_is_evaluation(impl, fw, rng, shape):
    """Where the call takes `training`; a PyTorch module is told by eval()."""
    layer, state = worn_layer(impl, fw, rng, shape)
    x = own(fw, rng.standard_normal(shape))
    y = layer.eval()(fw.array(x)) if fw.name == "torch" else layer(fw.array(x))
    fw.close(y, evaluated(x, state, feature_axis(fw)), of="y of a plain call", atol=1e-4)


@evaluation
def test_training_and_evaluation_alternate(impl, fw, rng):
    """Evaluation between two steps of training does not disturb them, and sees the latest statistics."""
    layer, mean, variance = impl.BatchNorm1d(2, momentum=0.5), np.zeros(2), np.ones(2)
    for _ in range(2):
        x = 1 + 2 * rng.standard_normal((5, 2))
        fw.call(layer, fw.array(x), training=True)
        mean, variance = (mean + x.mean(0)) / 2, (variance + x.var(0, ddof=1)) / 2
        new = rng.standard_normal((3, 2))
        y = fw.call(layer, fw.array(new), training=False)
        fw.close(y, scaled(new, mean, variance, np.ones(2), np.zeros(2), 1e-5, -1), of="y in evaluation", atol=1e-4)


# -------------------------------------------------------------------- 5


@gradients
@pytest.mark.parametrize("eps", [None, 0.5], ids=["usual-eps", "large-eps"])
def test_the_backward_pass_by_hand(impl, fw, rng, x, shape, eps):
    gamma, beta = affine(rng, shape)
    cotangent, axis, value = rng.standard_normal(x.shape), feature_axis(fw), eps or 1e-5
    expected = gradients_by_hand(cotangent, x, gamma, beta, lambda *args: by_hand(*args, value, axis))
    arguments = [fw.array(array, "float64") for array in (cotangent, x, gamma)]
    results = impl.normalize_backward(*arguments, **({} if eps is None else {"eps": eps}))
    for name, result, gradient in zip(("x", "gamma", "beta"), results, expected, strict=True):
        fw.close(result, gradient, of=f"gradient of {name}", dtype="float64", rtol=1e-5, atol=1e-6)
    for name, argument, before in zip(("grad", "x", "gamma"), arguments, (cotangent, x, gamma), strict=True):
        fw.check_unchanged(argument, before, of=name)


@gradients
def test_the_backward_pass_keeps_float32(impl, fw, rng):
    x, gamma = rng.standard_normal((5, 3)), 1 + rng.random(3)
    cotangent = rng.standard_normal((5, 3))
    expected = gradients_by_hand(cotangent, x, gamma, np.zeros(3), lambda *args: by_hand(*args, 1e-5, -1))
    results = impl.normalize_backward(*map(fw.array, (cotangent, x, gamma)))
    for name, result, gradient in zip(("x", "gamma", "beta"), results, expected, strict=True):
        fw.close(result, gradient, of=f"gradient of {name}", dtype="float32", rtol=1e-3, atol=1e-4)


@gradients(autograd=True)
def test_gradients_flow_through_the_batch_statistics(impl, fw, rng, x, shape):
    fw.check_gradients(
        lambda *tensors: impl.normalize(*tensors, 0.01)[0],
        lambda *arrays: by_hand(*arrays, 0.01, feature_axis(fw)),
        [x, *affine(rng, shape)],
        names=("x", "gamma", "beta"),
    )


@gradients(autograd=True)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 2, 3)], ids=["table", "images"])
def test_gradients_reach_the_input_and_the_parameters_of_a_layer(impl, fw, rng, shape, training):
    layer, state = worn_layer(impl, fw, rng, shape)
    x, axis = own(fw, 3 * rng.standard_normal(shape)), feature_axis(fw)
    cotangent = rng.standard_normal(x.shape)

    def formula(x, gamma, beta):
        used = statistics(x, axis, ddof=0) if training else (state["running_mean"], state["running_var"])
        return scaled(x, *used, gamma, beta, 1e-5, axis)

    found = layer_gradients(fw, layer, x, cotangent, training)
    expected = gradients_by_hand(cotangent, x, state["gamma"], state["beta"], formula)
    for name, actual, gradient in zip(("x", "gamma", "beta"), found, expected, strict=True):
        assert actual is not None, f"no gradient reaches {name} through the layer. Which operation cuts it off?"
        fw.close(actual, gradient, of=f"gradient of {name} through the layer", rtol=1e-3, atol=1e-4)
    for name in ("running_mean", "running_var"):
        assert not getattr(getattr(layer, name), "requires_grad", False), (
            f"{name} is part of the graph: every batch so far stays in memory. Update it without gradients."
        )


# -------------------------------------------------------------------- 6


@numerical_edges
@pytest.mark.parametrize("constant", [0.0, -3.0, 1000.0])
def test_a_constant_feature_becomes_beta(impl, fw, rng, constant):
    """Its variance is 0: ε alone keeps the division, and the gradient, finite."""
    x = rng.standard_normal((8, 2))
    x[:, 1] = constant
    gamma, beta = affine(rng, (2,))
    y, _, variance = impl.normalize(*map(fw.array, (x, gamma, beta)))
    fw.close(variance, x.var(0), of="variance")
    fw.close(y, by_hand(x, gamma, beta, 1e-5, -1), of="y", atol=1e-4)
    cotangent = rng.standard_normal(x.shape)
    grad_x, grad_gamma, _ = impl.normalize_backward(*map(fw.array, (cotangent, x, gamma)))
    expected = gamma[1] / np.sqrt(1e-5) * (cotangent[:, 1] - cotangent[:, 1].mean())
    fw.close(grad_x[:, 1], expected, of="gradient of a constant feature", rtol=1e-3)
    fw.close(grad_gamma[1], 0.0, of="gradient of gamma for a constant feature", atol=1e-4)


@numerical_edges
@pytest.mark.parametrize("shape", [(32, 3), (2, 4, 4, 3)], ids=["table", "images"])
def test_a_large_mean_does_not_eat_the_variance(impl, fw, rng, shape):
    """In float32 the squares of numbers around 2000 are too coarse to show a spread of 1."""
    x = own(fw, (2000 + rng.standard_normal(shape)).astype("float32"))
    gamma, beta = affine(rng, shape)
    axis = feature_axis(fw)
    y, _, variance = impl.normalize(*map(fw.array, (x, gamma, beta)))
    fw.close(variance, statistics(x, axis, ddof=0)[1], of="variance", rtol=1e-2)
    fw.close(y, by_hand(x, gamma, beta, 1e-5, axis), of="y", atol=1e-2)
    cotangent = rng.standard_normal(x.shape)
    grad_x, _, _ = impl.normalize_backward(*map(fw.array, (cotangent, x, gamma)))
    expected = slopes(lambda x: by_hand(x, gamma, beta, 1e-5, axis), x.astype("float64"), cotangent)
    fw.close(grad_x, expected, of="gradient of x", atol=1e-2)


@numerical_edges
@pytest.mark.parametrize("shape", [(32, 3), (2, 4, 4, 3)], ids=["table", "images"])
def test_float16_is_computed_in_float32(impl, fw, rng, shape):
    """The squares of these values do not fit into float16, the result does."""
    x = own(fw, (1000 * rng.standard_normal(shape)).astype("float16"))
    gamma, beta = affine(rng, shape)
    y, mean, variance = impl.normalize(fw.array(x, "float16"), fw.array(gamma), fw.array(beta))
    expected = statistics(x, feature_axis(fw), ddof=0)
    fw.close(mean, expected[0], of="mean of float16", dtype="float32", atol=1e-2)
    fw.close(variance, expected[1], of="variance of float16", dtype="float32")
    fw.close(y, by_hand(x, gamma, beta, 1e-5, feature_axis(fw)), of="y", dtype="float16")


@numerical_edges
def test_float64_stays_float64(impl, fw, rng, x, shape):
    gamma, beta = affine(rng, shape)
    y, mean, variance = impl.normalize(*(fw.array(array, "float64") for array in (x, gamma, beta)))
    expected = statistics(x, feature_axis(fw), ddof=0)
    fw.close(mean, expected[0], of="mean", dtype="float64")
    fw.close(variance, expected[1], of="variance", dtype="float64")
    fw.close(y, by_hand(x, gamma, beta, 1e-5, feature_axis(fw)), of="y", dtype="float64")


@numerical_edges
def test_memory_may_lie_in_any_order(impl, fw, rng):
    """x as the transpose of what is stored, where the framework has such a thing."""
    x, (gamma, beta) = rng.standard_normal((3, 5)), affine(rng, (3,))
    stored = fw.array(x)
    transposed = stored.T if fw.name != "tensorflow" else fw.array(x.T)
    y, _, _ = impl.normalize(transposed, fw.array(gamma), fw.array(beta))
    fw.close(y, by_hand(x.T, gamma, beta, 1e-5, -1), of="y")
    cotangent = rng.standard_normal((5, 3))
    expected = gradients_by_hand(cotangent, x.T.copy(), gamma, beta, lambda *args: by_hand(*args, 1e-5, -1))
    grad_x, _, _ = impl.normalize_backward(fw.array(cotangent), transposed, fw.array(gamma))
    fw.close(grad_x, expected[0], of="gradient of x", rtol=1e-3, atol=1e-4)


# -------------------------------------------------------------------- 7


@no_loops
@pytest.mark.parametrize("grid", [(), (4, 4)], ids=["tables", "images"])
def test_one_operation_serves_all_features(impl, fw, rng, grid):
    """As many operations for 32 features of 16 examples as for two features of three."""

    def operations(shape):
        x, cotangent = (fw.array(own(fw, rng.standard_normal(shape))) for _ in range(2))
        gamma, beta = map(fw.array, affine(rng, shape))
        return (
            fw.count_ops(impl.normalize, x, gamma, beta),
            fw.count_ops(impl.normalize_backward, cotangent, x, gamma),
        )

    small, large = operations((3, *grid, 2)), operations((16, *grid, 32))
    for name, few, many in zip(("normalize", "normalize_backward"), small, large, strict=True):
        assert many <= few, (
            f"{name} runs {few} operations for two features and {many} for 32. "
            "Let one reduction over the right axes serve all of them."
        )


# -------------------------------------------------------------------- 8


class DeepNetwork:
    """Four hidden layers of 24 logistic units, in NumPy, with or without the kata's layer in front of each.

    The backward pass is written out here, and is the kata's where a layer stands.
    """

    def __init__(self, impl, fw, rng, normalised, depth=4, width=24):
        self.impl, self.fw = impl, fw
        self.weights = [rng.standard_normal((n, width)) / np.sqrt(n) for n in [64] + [width] * (depth - 1)]
        self.top = np.zeros((width, 10))
        self.scales, self.shifts = np.ones((depth, width)), np.zeros((depth, width))
        self.layers = [impl.BatchNorm1d(width) if normalised else None for _ in range(depth)]
        self.trained = [layer and in_training(fw, layer) for layer in self.layers]

    def forward(self, x, training):
        """What enters each hidden layer, its weighted sums, what leaves it; and the scores of the ten digits."""
        entering, sums, leaving = [], [], [x]
        for weight, shift, layer, trained in zip(self.weights, self.shifts, self.layers, self.trained, strict=True):
            entering.append(leaving[-1])
            sums.append(entering[-1] @ weight)
            y = sums[-1] + shift
            if layer is not None:
                tensor = self.fw.array(sums[-1])
                y = self.fw.numpy(trained(tensor) if training else self.fw.call(layer, tensor, training=False))
            leaving.append(1 / (1 + np.exp(-y.astype("float64"))))
        return entering, sums, leaving[1:], leaving[-1] @ self.top

    def step(self, x, digits, rate=0.5):
        """One step of gradient descent on the cross-entropy."""
        entering, sums, leaving, scores = self.forward(x, training=True)
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        slope = (chances / chances.sum(axis=1, keepdims=True) - np.eye(10)[digits]) / len(x)
        above, self.top = slope @ self.top.T, self.top - rate * leaving[-1].T @ slope
        for i in reversed(range(len(self.layers))):
            slope = above * leaving[i] * (1 - leaving[i])
            to_shift = slope.sum(axis=0)
            if self.layers[i] is not None:
                tensors = map(self.fw.array, (slope, sums[i], self.scales[i]))
                slope, to_scale, to_shift = map(self.fw.numpy, self.impl.normalize_backward(*tensors))
                self.scales[i] -= rate * to_scale
            self.shifts[i] -= rate * to_shift
            if self.layers[i] is not None:
                write(self.fw, self.layers[i], gamma=self.scales[i], beta=self.shifts[i])
            above, self.weights[i] = slope @ self.weights[i].T, self.weights[i] - rate * entering[i].T @ slope


@learns
def test_a_deep_network_learns_digits_only_with_it(impl, fw):
    """120 steps. Over ten seeds 0.91 to 0.96 of the unseen digits are right with it, and 0.09 to 0.10 without."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, labels = digits.data / 16, digits.target
    right = {}
    for normalised in (False, True):
        rng = np.random.default_rng(0)
        order = rng.permutation(len(images))
        seen, unseen = order[:1300], order[1300:]
        network = DeepNetwork(impl, fw, rng, normalised)
        for _ in range(120):
            batch = rng.choice(seen, 64, replace=False)
            network.step(images[batch], labels[batch])
        scores = network.forward(images[unseen], training=False)[-1]
        right[normalised] = np.mean(scores.argmax(axis=1) == labels[unseen])
    assert right[False] < 0.2, f"without normalisation {right[False]:.2f} are right: the baseline is too easy"
    assert right[True] > 0.85, (
        f"with your layer {right[True]:.2f} of the unseen digits are right after 120 steps, without it "
        f"{right[False]:.2f}; expected more than 0.85"
    )
