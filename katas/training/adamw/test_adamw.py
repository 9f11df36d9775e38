"""Levels of the adamw kata. Expected values come from `by_hand`, in float64 NumPy, or from the official optimiser."""

import io
import json
import warnings
from itertools import pairwise

import numpy as np
import pytest

from dojo import level

refusals = level(1, "refusals")
update = level(2, "the update", points=3)
decay_level = level(3, "decay", points=2)
amsgrad_level = level(4, "amsgrad")
groups_level = level(5, "groups", points=2)
closure = level(6, "closure")
saved_restored = level(7, "saved and restored", points=2)
real_data = level(8, "real data", points=2)

SHAPES = {"scalar": (), "one": (1,), "odd": (7,), "matrix": (3, 4), "rank four": (2, 3, 1, 5), "empty": (0,)}
# Learning rates are exact in the float32 in which Keras keeps them; with EXACT, so are the other numbers.
PLAIN = {"lr": 0.125, "betas": (0.8, 0.95), "eps": 0.05, "weight_decay": 0.0, "amsgrad": False}
EXACT = {"lr": 2.0**-5, "betas": (0.875, 0.96875), "eps": 2.0**-10}
OFFICIAL = {
    "torch": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2, "amsgrad": False},
    "tensorflow": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 4e-3, "amsgrad": False},
}


def by_hand(fw, theta, gradients, lr=0.125, betas=(0.8, 0.95), eps=0.05, weight_decay=0.0, amsgrad=False):
    """AdamW as the formula reads, in float64: θ after each step.

    A gradient may also be a function of θ, and lr a list with a rate for each step.
    """
    theta, (beta1, beta2) = np.asarray(theta, "float64"), betas
    rates = np.broadcast_to(lr, len(gradients))
    mean = square = largest = np.zeros_like(theta)
    path = []
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        gradient = gradient(theta) if callable(gradient) else gradient
        theta = theta - rate * weight_decay * theta
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        largest = np.maximum(largest, square)
        corrected = (largest if amsgrad else square) / (1 - beta2**t)
        placed = eps if fw.name == "torch" else eps / np.sqrt(1 - beta2**t)
        theta = theta - rate * mean / (1 - beta1**t) / (np.sqrt(corrected) + placed)
        path.append(theta)
    return path


def named(fw, options):
    """Options under the names that the framework has for them."""
    if fw.name == "torch":
        return dict(options)
    names = {"lr": "learning_rate", "eps": "epsilon"}
    renamed = {names.get(name, name): value for name, value in options.items() if name != "betas"}
    return renamed | (dict(zip(("beta_1", "beta_2"), options["betas"], strict=True)) if "betas" in options else {})


def parameters_of(fw, values, dtype="float32"):
    """A parameter for each array."""
    tensors = [fw.array(value, dtype) for value in values]
    if fw.name == "torch":
        return [tensor.requires_grad_() for tensor in tensors]
    import keras

    return [keras.Variable(tensor, dtype=dtype, name=f"weight_{index}") for index, tensor in enumerate(tensors)]


def optimiser_of(impl, fw, parameters, **options):
    """The optimiser under test, over parameters."""
    if fw.name == "torch":
        return impl.AdamW(parameters, **named(fw, options))
    optimiser = impl.AdamW(**named(fw, options))
    optimiser.build(parameters)
    return optimiser


def take_step(fw, optimiser, parameters, gradients):
    """One step with these gradients; None where a parameter has none."""
    gradients = [
        None if gradient is None else fw.array(gradient, fw.dtype_name(parameter))
        for parameter, gradient in zip(parameters, gradients, strict=True)
    ]
    if fw.name == "torch":
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of a variable that has no gradient
            optimiser.apply_gradients(zip(gradients, parameters, strict=True))


def check_path(impl, fw, start, gradients, dtype="float32", **options):
    """One parameter, step by step, against the formula."""
    options = PLAIN | options
    (parameter,) = parameters = parameters_of(fw, [start], dtype)
    optimiser = optimiser_of(impl, fw, parameters, **options)
    for t, (gradient, expected) in enumerate(zip(gradients, by_hand(fw, start, gradients, **options), strict=True), 1):
        take_step(fw, optimiser, parameters, [gradient])
        fw.close(parameter, expected, of=f"parameter after step {t}", dtype=dtype)


# -------------------------------------------------------------------- 1 refusals


@refusals
def test_it_is_an_optimiser_of_the_framework(impl, fw):
    if fw.name == "torch":
        from torch.optim import Optimizer
    else:
        from keras.optimizers import Optimizer
    optimiser = optimiser_of(impl, fw, parameters_of(fw, [np.ones(3)]), **PLAIN)
    assert isinstance(optimiser, Optimizer), f"AdamW is not a subclass of {Optimizer.__module__}.{Optimizer.__name__}"


@refusals
@pytest.mark.parametrize(
    "wrong",
    [{"lr": -0.1}, {"eps": -1e-8}, {"weight_decay": -0.01}]
    + [{"betas": betas} for betas in [(1.0, 0.9), (-0.1, 0.9), (0.9, 1.0), (0.9, -0.1)]],
    ids=[
        "rate",
        "epsilon",
        "decay",
        "first beta one",
        "first beta negative",
        "second beta one",
        "second beta negative",
    ],
)
def test_an_option_out_of_range_is_refused(impl, fw, wrong):
    with pytest.raises(ValueError):
        optimiser_of(impl, fw, parameters_of(fw, [np.ones(3)]), **PLAIN | wrong)


@refusals
def test_a_sparse_gradient_is_refused(impl, fw):
    parameters = parameters_of(fw, [np.ones((4, 2))])
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN)
    if fw.name == "torch":
        import torch

        parameters[0].grad = torch.sparse_coo_tensor([[1, 3]], torch.ones(2, 2), (4, 2), check_invariants=True)
        with pytest.raises(RuntimeError, match="sparse"):
            optimiser.step()
    else:
        import tensorflow as tf

        gradient = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 3]), tf.constant([4, 2]))
        with pytest.raises(RuntimeError, match="sparse"):
            optimiser.apply_gradients([(gradient, parameters[0])])


# -------------------------------------------------------------------- 2 the update


@update
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_each_step_is_the_formula(impl, fw, rng, shape):
    check_path(impl, fw, rng.standard_normal(shape), list(rng.standard_normal((6, *shape))))


@update
def test_a_first_step_is_as_long_as_the_learning_rate(impl, fw, rng):
    """Whatever the size of the gradient: m̂ is the gradient then, and √v̂ its absolute value."""
    gradient = np.array([1e-3, -1e-2, 1.0, -30.0, 5e4])
    (parameter,) = parameters = parameters_of(fw, [np.zeros(5)])
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN | {"betas": (0.9, 0.999), "eps": 0.0})
    take_step(fw, optimiser, parameters, [gradient])
    fw.close(parameter, -0.125 * np.sign(gradient), of="parameter after the first step")


@update
def test_every_parameter_has_its_own_means(impl, fw, rng):
    starts = [rng.standard_normal(shape) for shape in ((3, 2), (3, 2), (5,))]
    gradients = [
        list(rng.standard_normal((4, *start.shape)) * scale) for start, scale in zip(starts, (1, 10, 0.1), strict=True)
    ]
    parameters = parameters_of(fw, starts)
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN)
    for step in zip(*gradients, strict=True):
        take_step(fw, optimiser, parameters, step)
    for index, (parameter, start, own) in enumerate(zip(parameters, starts, gradients, strict=True)):
        fw.close(parameter, by_hand(fw, start, own)[-1], of=f"parameter {index} after 4 steps")


@update
def test_a_gradient_of_zero_moves_nothing(impl, fw, rng):
    start = rng.standard_normal((2, 3))
    check_path(impl, fw, start, [np.zeros((2, 3))] * 3)


@update
def test_a_learning_rate_of_zero_moves_nothing(impl, fw, rng):
    check_path(impl, fw, rng.standard_normal(3), list(rng.standard_normal((2, 3))), lr=0.0)


@update
def test_means_may_have_no_memory(impl, fw, rng):
    """With both betas zero a step is lr g / (|g| + ε)."""
    check_path(impl, fw, rng.standard_normal(3), list(rng.standard_normal((3, 3))), betas=(0.0, 0.0))


@update
def test_a_parameter_need_not_be_contiguous(impl, fw, rng):
    start, gradients = rng.standard_normal((3, 4)), list(rng.standard_normal((3, 3, 4)))
    (parameter,) = parameters = parameters_of(fw, [start])
    if fw.name == "torch":
        parameters = [parameter] = [fw.array(start.T).T.requires_grad_()]
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN)
    for gradient in gradients:
        take_step(fw, optimiser, parameters, [gradient])
    fw.close(parameter, by_hand(fw, start, gradients)[-1], of="transposed parameter after 3 steps")


@update
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_of_the_parameter_is_kept(impl, fw, rng, dtype):
    start, gradients = rng.standard_normal((2, 3)), list(rng.standard_normal((5, 2, 3)))
    check_path(impl, fw, start, gradients, dtype, **EXACT)


@pytest.mark.gpu
@update
def test_the_update_runs_on_the_gpu(impl, gpu, rng):
    start, gradients = rng.standard_normal((3, 4)), list(rng.standard_normal((3, 3, 4)))
    (parameter,) = parameters = parameters_of(gpu, [start])
    optimiser = optimiser_of(impl, gpu, parameters, **PLAIN)
    for gradient in gradients:
        take_step(gpu, optimiser, parameters, [gradient])
    gpu.check_device(parameter if gpu.name == "torch" else parameter.value, of="parameter")
    gpu.close(parameter, by_hand(gpu, start, gradients)[-1], of="parameter after 3 steps")


# -------------------------------------------------------------------- 3 decay


@decay_level
def test_without_slope_a_parameter_shrinks_by_a_fixed_share(impl, fw, rng):
    """(1 − lr λ)ᵗ of it is left after t steps."""
    start = rng.standard_normal((2, 3))
    (parameter,) = parameters = parameters_of(fw, [start])
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN | {"weight_decay": 0.4})
    for t in range(1, 5):
        take_step(fw, optimiser, parameters, [np.zeros((2, 3))])
        fw.close(parameter, start * (1 - 0.125 * 0.4) ** t, of=f"parameter after step {t} with a gradient of zero")


@decay_level
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_decay_is_decoupled_from_the_gradient(impl, fw, rng, scale):
    start, gradients = rng.standard_normal((3, 4)) * 3, list(scale * rng.standard_normal((5, 3, 4)))
    check_path(impl, fw, start, gradients, weight_decay=0.4)


@decay_level
def test_a_parameter_without_gradient_is_left_alone(impl, fw, rng):
    """And those beside it, before and after, are not."""
    starts = [rng.standard_normal(size) for size in (3, 4, 2)]
    parameters = parameters_of(fw, starts)
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN | {"weight_decay": 0.4})
    for _ in range(2):
        take_step(fw, optimiser, parameters, [np.ones(3), None, np.ones(2)])
    fw.check_unchanged(parameters[1], starts[1], of="parameter without a gradient")
    for index, place in ((0, "before"), (2, "after")):
        expected = by_hand(fw, starts[index], [np.ones_like(starts[index])] * 2, weight_decay=0.4)[-1]
        fw.close(parameters[index], expected, of=f"parameter {place} the one without a gradient, after 2 steps")


@decay_level
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_decay_keeps_the_dtype(impl, fw, rng, dtype):
    start, gradients = rng.standard_normal((2, 3)), list(rng.standard_normal((5, 2, 3)))
    check_path(impl, fw, start, gradients, dtype, **EXACT | {"weight_decay": 0.125})


@decay_level
def test_the_defaults_are_the_official_ones(impl, fw, rng):
    """Tiny gradients show ε, large parameters the decay, and a first gradient larger than the rest amsgrad."""
    start, sizes = rng.standard_normal(4) * 10, np.array([1e-5, 1e-7, 1e-7, 1e-7, 1e-7])
    gradients = list(rng.standard_normal((5, 4)) * sizes[:, None])
    (parameter,) = parameters = parameters_of(fw, [start], "float64")
    optimiser = optimiser_of(impl, fw, parameters)
    for gradient in gradients:
        take_step(fw, optimiser, parameters, [gradient])
    expected = by_hand(fw, start, gradients, **OFFICIAL[fw.name])[-1]
    fw.close(parameter, expected, of="parameter after 5 steps with default options", dtype="float64", rtol=0, atol=2e-7)


# -------------------------------------------------------------------- 4 amsgrad


@amsgrad_level
@pytest.mark.parametrize("decay", [0.0, 0.4], ids=["alone", "with decay"])
def test_a_burst_of_gradient_is_remembered(impl, fw, rng, decay):
    """After a burst v falls again. With amsgrad its largest value stays, and the steps stay short."""
    start, gradients = rng.standard_normal((3, 4)), rng.standard_normal((8, 3, 4))
    gradients[1] *= 20
    check_path(impl, fw, start, list(gradients), weight_decay=decay, amsgrad=True)


@amsgrad_level
def test_the_correction_comes_after_the_largest(impl, fw, rng):
    """Equal gradients: v grows while v̂ stays, so the order of maximum and correction shows."""
    gradients = np.ones((6, 3)) * [0.1, 1.0, 10.0] * np.array([1, 1, 1, 0.5, 0.5, 1])[:, None]
    check_path(impl, fw, rng.standard_normal(3), list(gradients), betas=(0.8, 0.9), amsgrad=True)


# -------------------------------------------------------------------- 5 groups


@groups_level
def test_some_parameters_can_be_spared_the_decay(impl, fw, rng):
    """By a group with weight_decay 0 in torch, by exclude_from_weight_decay in Keras."""
    starts, gradients = rng.standard_normal((2, 3)), list(rng.standard_normal((4, 3)))
    parameters = parameters_of(fw, starts)
    options = PLAIN | {"weight_decay": 0.4}
    if fw.name == "torch":
        groups = [{"params": parameters[:1]}, {"params": parameters[1:], "weight_decay": 0.0}]
        optimiser = impl.AdamW(groups, **named(fw, options))
    else:
        optimiser = impl.AdamW(**named(fw, options))
        optimiser.exclude_from_weight_decay(var_list=parameters[1:])
        optimiser.build(parameters)
    for gradient in gradients:
        take_step(fw, optimiser, parameters, [gradient, gradient])
    decayed = by_hand(fw, starts[0], gradients, weight_decay=0.4)[-1]
    fw.close(parameters[0], decayed, of="parameter with decay")
    fw.close(parameters[1], by_hand(fw, starts[1], gradients)[-1], of="parameter that is spared the decay")


@groups_level
def test_the_learning_rate_may_change_between_steps(impl, fw, rng):
    start, gradients, rates = rng.standard_normal(3), list(rng.standard_normal((4, 3))), [0.125, 0.125, 0.5, 0.03125]
    (parameter,) = parameters = parameters_of(fw, [start])
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN | {"weight_decay": 0.4})
    for gradient, rate in zip(gradients, rates, strict=True):
        if fw.name == "torch":
            optimiser.param_groups[0]["lr"] = rate
        else:
            optimiser.learning_rate = rate
        take_step(fw, optimiser, parameters, [gradient])
    expected = by_hand(fw, start, gradients, lr=rates, weight_decay=0.4)[-1]
    fw.close(parameter, expected, of="parameter after 4 steps with changing learning rates")


@groups_level
def test_what_the_base_class_offers_works(impl, fw, rng):
    """In torch every option may differ by group; Keras has schedules of the learning rate, clipping and names."""
    starts, gradients = rng.standard_normal((2, 3)), list(rng.standard_normal((5, 3)) * [[1], [5], [1], [1], [1]])
    parameters = parameters_of(fw, starts)
    if fw.name == "torch":
        other = {"lr": 0.25, "betas": (0.5, 0.7), "eps": 0.5, "weight_decay": 0.3, "amsgrad": True}
        optimiser = impl.AdamW([{"params": parameters[:1]}, {"params": parameters[1:], **other}], **PLAIN)
        expected = [by_hand(fw, starts[0], gradients, **PLAIN), by_hand(fw, starts[1], gradients, **other)]
    else:
        import keras

        schedule = keras.optimizers.schedules.ExponentialDecay(0.25, decay_steps=1, decay_rate=0.5)
        options = named(fw, PLAIN) | {"learning_rate": schedule, "clipvalue": 0.5, "name": "mine"}
        optimiser = impl.AdamW(**options)
        assert optimiser.name == "mine", f"the name given was 'mine', the optimiser's is {optimiser.name!r}"
        clipped, rates = [np.clip(gradient, -0.5, 0.5) for gradient in gradients], 0.25 * 0.5 ** np.arange(5)
        expected = [by_hand(fw, start, clipped, **PLAIN | {"lr": rates}) for start in starts]
    for gradient in gradients:
        take_step(fw, optimiser, parameters, [gradient, gradient])
    for index in range(2):
        fw.close(parameters[index], expected[index][-1], of=f"parameter {index} after 5 steps")


@groups_level
def test_a_parameter_may_miss_the_first_steps(impl, fw, rng):
    """Its means start when its gradients do. The t of its correction is its own in torch, the optimiser's in Keras."""
    starts, gradients = rng.standard_normal((2, 3)), list(rng.standard_normal((5, 3)))
    early, late = parameters = parameters_of(fw, starts)
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN)
    for t, gradient in enumerate(gradients):
        take_step(fw, optimiser, parameters, [gradient, gradient if t >= 3 else None])
    before = [] if fw.name == "torch" else [np.zeros(3)] * 3
    fw.close(early, by_hand(fw, starts[0], gradients)[-1], of="parameter that had a gradient in all 5 steps")
    fw.close(late, by_hand(fw, starts[1], before + gradients[3:])[-1], of="parameter that missed 3 of 5 steps")


@groups_level
def test_a_parameter_may_join_or_rest(impl, fw, rng):
    """A group that is added after two steps in torch; a variable without a gradient for a while in Keras."""
    starts, gradients = rng.standard_normal((2, 3)), list(rng.standard_normal((5, 3)))
    parameters = parameters_of(fw, starts)
    if fw.name == "torch":
        optimiser, taken = optimiser_of(impl, fw, parameters[:1], **PLAIN), [2, 3, 4]
        expected = by_hand(fw, starts[1], gradients[2:], lr=0.5)[-1]
    else:
        optimiser, taken = optimiser_of(impl, fw, parameters, **PLAIN), [0, 1]
        expected = by_hand(fw, starts[1], gradients[:2])[-1]
    for t, gradient in enumerate(gradients):
        if t == 2 and fw.name == "torch":
            optimiser.add_param_group({"params": parameters[1:], "lr": 0.5})
        take_step(fw, optimiser, parameters, [gradient, gradient if t in taken else None])
    fw.close(parameters[0], by_hand(fw, starts[0], gradients)[-1], of="parameter that had a gradient in all 5 steps")
    fw.close(parameters[1], expected, of=f"parameter that had a gradient in steps {[t + 1 for t in taken]} alone")


# -------------------------------------------------------------------- 6 closure


@closure
def test_the_closure_runs_once_and_its_result_is_returned(impl, fw, rng):
    """The loss is ½ Σ c θ², so its gradient is c θ."""
    start, curvature = rng.standard_normal((2, 3)), rng.uniform(0.5, 2, (2, 3))
    (parameter,) = parameters = parameters_of(fw, [start])
    optimiser = optimiser_of(impl, fw, parameters, **PLAIN | {"weight_decay": 0.4})
    weights, calls = fw.array(curvature), []

    def loss():
        calls.append(None)
        if fw.name == "torch":
            optimiser.zero_grad()
            value = (weights * parameter * parameter).sum() / 2
            value.backward()
            return value
        import tensorflow as tf

        return tf.reduce_sum(weights * parameter * parameter) / 2

    path = [start, *by_hand(fw, start, [lambda theta: curvature * theta] * 3, weight_decay=0.4)]
    for t in range(3):
        value = optimiser.step(loss) if fw.name == "torch" else optimiser.minimize(loss, parameters)
        assert len(calls) == t + 1, f"after step {t + 1} the closure had been called {len(calls)} times"
        fw.close(value, np.sum(curvature * path[t] ** 2) / 2, of=f"loss that step {t + 1} returned")
        fw.close(parameter, path[t + 1], of=f"parameter after step {t + 1}")


@closure
def test_the_closure_needs_nothing_of_its_caller(impl, fw, rng):
    """It is differentiated inside torch.no_grad, and inside a traced function; it may hold more than is updated."""
    starts, target = rng.standard_normal((2, 3)), rng.standard_normal(3)
    given, other = parameters_of(fw, starts)
    optimiser = optimiser_of(impl, fw, [given], **PLAIN)
    goal = fw.array(target)
    if fw.name == "torch":
        import torch

        def loss():
            value = ((given - goal) * (given - goal) + other * other).sum() / 2
            value.backward()
            return value

        with torch.no_grad():
            optimiser.step(loss)
        assert (found := optimiser.step()) is None, f"step without a closure returned {found}; it must return None"
        steps = 2
    else:
        import tensorflow as tf

        def loss():
            return tf.reduce_sum((given - goal) * (given - goal) + other * other) / 2

        tf.function(lambda: optimiser.minimize(loss, [given]))()
        steps = 1
    gradients = [starts[0] - target] * steps  # the second step in torch still sees the gradient of the first
    fw.close(given, by_hand(fw, starts[0], gradients)[-1], of="parameter that the optimiser was given")
    fw.check_unchanged(other, starts[1], of="parameter that the optimiser was not given")


@closure
def test_the_update_happens_in_place(impl, fw, rng):
    """Whoever holds the parameter sees it move: another view of it in torch, a traced function in TensorFlow."""
    start, gradients = rng.standard_normal((2, 3)), list(rng.standard_normal((4, 2, 3)))
    options = PLAIN | {"amsgrad": True, "weight_decay": 0.4}
    (parameter,) = parameters = parameters_of(fw, [start])
    optimiser = optimiser_of(impl, fw, parameters, **options)
    expected = by_hand(fw, start, gradients, **options)
    if fw.name == "torch":
        view = parameter.detach()
        for gradient in gradients:
            take_step(fw, optimiser, parameters, [gradient])
        assert parameter.is_leaf and parameter.requires_grad, "the parameter is no longer a leaf that needs a gradient"
        fw.close(view, expected[-1], of="view of the parameter after 4 steps")
    else:
        import tensorflow as tf

        traced = tf.function(lambda gradient: optimiser.apply_gradients([(gradient, parameter)]))
        for t, gradient in enumerate(gradients):
            traced(fw.array(gradient))
            fw.close(parameter, expected[t], of=f"parameter after step {t + 1} of a traced function")


# -------------------------------------------------------------------- 7 saved and restored


def saved(fw, optimiser):
    """The optimiser's state and options as bytes and text, as they would lie on disk."""
    if fw.name == "torch":
        import torch

        file = io.BytesIO()
        torch.save(optimiser.state_dict(), file)
        return file.getvalue()
    store = {}
    optimiser.save_own_variables(store)
    return json.dumps(optimiser.get_config()), {key: np.array(value) for key, value in store.items()}


def restored(impl, fw, parameters, content):
    """A new optimiser over other parameters, with that state and those options."""
    if fw.name == "torch":
        import torch

        optimiser = impl.AdamW(parameters)
        optimiser.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
        return optimiser
    config, store = content
    optimiser = impl.AdamW.from_config(json.loads(config))
    optimiser.build(parameters)
    optimiser.load_own_variables(store)
    optimiser.build(parameters)  # called again, it must change nothing
    return optimiser


@saved_restored
@pytest.mark.parametrize("amsgrad", [False, True], ids=["plain", "amsgrad"])
@pytest.mark.parametrize("steps", [0, 3], ids=["before the first step", "after three steps"])
def test_a_restored_optimiser_goes_on_as_the_old_one_would_have(impl, fw, rng, amsgrad, steps):
    options = {"lr": 0.25, "betas": (0.7, 0.9), "eps": 0.5, "weight_decay": 0.3, "amsgrad": amsgrad}
    starts, gradients = rng.standard_normal((2, 3)), rng.standard_normal((7, 2, 3)) * rng.uniform(0.1, 9, (7, 1, 1))
    parameters = parameters_of(fw, starts)
    optimiser = optimiser_of(impl, fw, parameters, **options)
    for gradient in gradients[:steps]:
        take_step(fw, optimiser, parameters, gradient)
    content = saved(fw, optimiser)
    for gradient in gradients[steps:]:  # the old one goes on, and must not disturb what was saved
        take_step(fw, optimiser, parameters, gradient)

    paths = [by_hand(fw, start, list(gradients[:, index]), **options) for index, start in enumerate(starts)]
    copies = parameters_of(fw, [path[steps - 1] if steps else start for path, start in zip(paths, starts, strict=True)])
    again = restored(impl, fw, copies, content)
    for gradient in gradients[steps:]:
        take_step(fw, again, copies, gradient)
    for index, (path, old, new) in enumerate(zip(paths, parameters, copies, strict=True)):
        fw.close(old, path[-1], of=f"parameter {index} of the old optimiser after 7 steps")
        fw.close(
            new,
            path[-1],
            of=f"parameter {index} of the optimiser restored {'after' if steps else 'before'} step {steps or 1}",
        )


# -------------------------------------------------------------------- 8 real data


def digits():
    """Scans of digits between 0 and 1, and their classes: 1500 to train on, 297 to test on."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, classes = images[order] / 16, classes[order]
    return (images[:1500], classes[:1500]), (images[1500:], classes[1500:])


def network(rng, sizes=(64, 32, 10)):
    """Weights and biases by layer, as arrays."""
    return [
        array
        for inputs, outputs in pairwise(sizes)
        for array in (rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs), np.zeros(outputs))
    ]


def slopes(parameters, images, classes):
    """The gradient of the mean cross-entropy by each array of the network, written out in NumPy."""
    w1, b1, w2, b2 = parameters
    hidden = np.maximum(images @ w1 + b1, 0)
    shares = np.exp(hidden @ w2 + b2)
    error = (shares / shares.sum(axis=1, keepdims=True) - np.eye(10)[classes]) / len(images)
    below = (error @ w2.T) * (hidden > 0)
    return [images.T @ below, below.sum(axis=0), hidden.T @ error, error.sum(axis=0)]


def train(fw, optimiser, parameters, images, classes, rng, epochs):
    for _ in range(epochs):
        for chosen in np.split(rng.permutation(len(images)), len(images) // 150):
            now = [fw.numpy(parameter).astype("float64") for parameter in parameters]
            take_step(fw, optimiser, parameters, slopes(now, images[chosen], classes[chosen]))


@real_data
@pytest.mark.parametrize("amsgrad", [False, True], ids=["plain", "amsgrad"])
def test_a_network_takes_the_official_path(impl, fw, rng, amsgrad):
    """Two float64 networks on the digits, one trained by the official AdamW: they stay equal."""
    start, ((images, classes), _) = network(rng), digits()
    if fw.name == "torch":
        from torch.optim import AdamW as Official
    else:
        from keras.optimizers import AdamW as Official
    options = named(fw, PLAIN | EXACT | {"eps": 1e-6, "weight_decay": 0.125, "amsgrad": amsgrad})
    ours, theirs = (parameters_of(fw, start, "float64") for _ in range(2))
    for cls, parameters in ((impl.AdamW, ours), (Official, theirs)):
        optimiser = cls(parameters, **options) if fw.name == "torch" else cls(**options)
        train(fw, optimiser, parameters, images, classes, np.random.default_rng(0), epochs=1)
    for name, mine, official in zip(("w1", "b1", "w2", "b2"), ours, theirs, strict=True):
        fw.close(mine, fw.numpy(official), of=f"{name} after 10 steps", dtype="float64", rtol=1e-6, atol=1e-7)


@real_data
def test_a_network_learns_to_read_digits(impl, fw, rng):
    start, (training, (images, classes)) = network(rng), digits()
    parameters = parameters_of(fw, start)
    optimiser = optimiser_of(impl, fw, parameters, lr=2.0**-5)
    train(fw, optimiser, parameters, *training, rng, epochs=3)
    w1, b1, w2, b2 = map(fw.numpy, parameters)
    right = np.mean(np.argmax(np.maximum(images @ w1 + b1, 0) @ w2 + b2, axis=1) == classes)
    constant = np.max(np.bincount(classes)) / len(classes)
    assert constant < 0.15, f"the commonest digit is {constant:.0%} of the test set"
    assert right > 0.86, (
        f"{right:.1%} of the test digits are read right after 30 steps; always the same answer: {constant:.0%}"
    )
