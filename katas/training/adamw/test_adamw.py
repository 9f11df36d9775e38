"""Levels of the adamw kata.

Expected values come from adamw_support.py: `by_hand`, in float64 NumPy, and the official optimisers.
"""

import numpy as np
import pytest

from dojo import level
from dojo.testing import data
from katas.training.adamw.adamw_support import DECAYING, EXACT, PLAIN, by_hand, official

refusals = level(1, "refusals")
update = level(2, "the update", points=3)
decay_apart = level(3, "decay", points=2)
with_amsgrad = level(4, "amsgrad")
groups = level(5, "groups", points=2)
closure = level(6, "closure")
saved = level(7, "saved and restored", points=2)
real_data = level(8, "real data", points=2)

SHAPES = {"scalar": (), "one": (1,), "odd": (7,), "matrix": (3, 4), "rank four": (2, 3, 1, 5), "empty": (0,)}
WRONG = {"rate": {"lr": -0.1}, "epsilon": {"eps": -1e-8}, "decay": {"weight_decay": -0.01}}
WRONG |= {"first beta one": {"betas": (1.0, 0.9)}, "first beta negative": {"betas": (-0.1, 0.9)}}
WRONG |= {"second beta one": {"betas": (0.9, 1.0)}, "second beta negative": {"betas": (0.9, -0.1)}}


def parameters_of(fw, values, dtype="float32", make=None):
    """A parameter for each array."""
    return [official(fw).parameter((make or fw.array)(value, dtype)) for value in values]


def check_steps(fw, optimiser, parameters, paths, gradients, dtype="float32", of="parameter", first=1):
    """Each parameter after each step, from step `first` on. For each parameter, its θ and its gradients are given."""
    names = [f"{of} {index}" for index in range(len(parameters))] if len(parameters) > 1 else [of]
    steps = zip(zip(*gradients, strict=True), zip(*paths, strict=True), strict=True)
    for t, (step, expected) in enumerate(steps, start=first):
        fw.apply_gradients(optimiser, parameters, step)
        fw.close_all(parameters, expected, [f"{name} after step {t}" for name in names], dtype=dtype)


def check_paths(impl, fw, starts, gradients, dtype="float32", make=None, **options):
    """Parameters with these values and gradients, step by step, against the formula; returns them."""
    options = PLAIN | options
    parameters = parameters_of(fw, starts, dtype, make)
    paths = [by_hand(fw, start, own, **options) for start, own in zip(starts, gradients, strict=True)]
    check_steps(fw, fw.optimiser(impl.AdamW, parameters, **options), parameters, paths, gradients, dtype)
    return parameters


def check_path(impl, fw, start, gradients, *more, **options):
    return check_paths(impl, fw, [start], [gradients], *more, **options)[0]


@refusals
def test_it_is_an_optimiser_of_the_framework(impl, fw):
    parameters = parameters_of(fw, [np.ones(3)])
    Optimizer = type(fw.sgd(parameters, 0.1)).__base__
    optimiser = fw.optimiser(impl.AdamW, parameters, **PLAIN)
    assert isinstance(optimiser, Optimizer), f"AdamW is not a subclass of {Optimizer.__module__}.{Optimizer.__name__}"


@refusals
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_option_out_of_range_is_refused(impl, fw, wrong):
    with pytest.raises(ValueError):
        fw.optimiser(impl.AdamW, parameters_of(fw, [np.ones(3)]), **PLAIN | wrong)


@refusals
def test_a_sparse_gradient_is_refused(impl, fw):
    parameters = parameters_of(fw, [np.ones((4, 2))])
    optimiser = fw.optimiser(impl.AdamW, parameters, **PLAIN)
    with pytest.raises(RuntimeError, match="sparse"):
        official(fw).apply(optimiser, *parameters, official(fw).sparse)


@update
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_each_step_is_the_formula(impl, fw, rng, shape):
    check_path(impl, fw, rng.standard_normal(shape), rng.standard_normal((6, *shape)))


@update
def test_a_first_step_is_as_long_as_the_learning_rate(impl, fw, rng):
    """Whatever the size of the gradient: m̂ is the gradient then, and √v̂ its absolute value."""
    gradient = np.array([1e-3, -1e-2, 1.0, -30.0, 5e4])
    parameter = check_path(impl, fw, np.zeros(5), [gradient], betas=(0.9, 0.999), eps=0.0)
    fw.close(parameter, -0.125 * np.sign(gradient), of="parameter after the first step")


@update
def test_every_parameter_has_its_own_means(impl, fw, rng):
    starts = [rng.standard_normal(shape) for shape in ((3, 2), (3, 2), (5,))]
    gradients = [scale * rng.standard_normal((4, *shape)) for scale, shape in ((1, (3, 2)), (10, (3, 2)), (0.1, (5,)))]
    check_paths(impl, fw, starts, gradients)


@update
def test_a_gradient_of_zero_moves_nothing(impl, fw, rng):
    check_path(impl, fw, rng.standard_normal((2, 3)), np.zeros((3, 2, 3)))


@update
def test_a_learning_rate_of_zero_moves_nothing(impl, fw, rng):
    check_path(impl, fw, rng.standard_normal(3), rng.standard_normal((2, 3)), lr=0.0)


@update
def test_means_may_have_no_memory(impl, fw, rng):
    """With both betas zero a step is lr g / (|g| + ε)."""
    check_path(impl, fw, rng.standard_normal(3), rng.standard_normal((3, 3)), betas=(0.0, 0.0))


@update
def test_a_parameter_need_not_be_contiguous(impl, fw, rng):
    check_path(impl, fw, rng.standard_normal((3, 4)), rng.standard_normal((3, 3, 4)), make=fw.strided)


@update
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_of_the_parameter_is_kept(impl, fw, rng, dtype):
    check_path(impl, fw, rng.standard_normal((2, 3)), rng.standard_normal((5, 2, 3)), dtype, **EXACT)


@pytest.mark.gpu
@update
def test_the_update_runs_on_the_gpu(impl, gpu, rng):
    parameter = check_path(impl, gpu, rng.standard_normal((3, 4)), rng.standard_normal((3, 3, 4)))
    gpu.check_device(parameter, of="parameter")


@decay_apart
def test_without_slope_a_parameter_shrinks_by_a_fixed_share(impl, fw, rng):
    """(1 − lr λ)ᵗ of it is left after t steps."""
    start = rng.standard_normal((2, 3))
    parameter = check_path(impl, fw, start, np.zeros((4, 2, 3)), weight_decay=0.4)
    fw.close(parameter, start * (1 - 0.125 * 0.4) ** 4, of="parameter after 4 steps with a gradient of zero")


@decay_apart
@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_the_decay_is_decoupled_from_the_gradient(impl, fw, rng, scale):
    check_path(impl, fw, rng.standard_normal((3, 4)) * 3, scale * rng.standard_normal((5, 3, 4)), weight_decay=0.4)


@decay_apart
def test_a_parameter_without_gradient_is_left_alone(impl, fw, rng):
    """And those beside it, before and after, are not."""
    starts = [rng.standard_normal(size) for size in (3, 4, 2)]
    gradients = [np.ones((2, 3)), [None, None], np.ones((2, 2))]
    parameters = check_paths(impl, fw, starts, gradients, weight_decay=0.4)
    fw.check_unchanged(parameters[1], starts[1], of="parameter without a gradient")


@decay_apart
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_decay_keeps_the_dtype(impl, fw, rng, dtype):
    start, gradients = rng.standard_normal((2, 3)), rng.standard_normal((5, 2, 3))
    check_path(impl, fw, start, gradients, dtype, **EXACT | {"weight_decay": 0.125})


@decay_apart
def test_the_defaults_are_the_official_ones(impl, fw, rng):
    """Tiny gradients show ε, large parameters the decay, and a first gradient larger than the rest amsgrad."""
    starts, sizes = rng.standard_normal((1, 4)) * 10, np.array([[1e-5], [1e-7], [1e-7], [1e-7], [1e-7]])
    gradients = rng.standard_normal((5, 4)) * sizes
    (ours,), (theirs,) = both = [parameters_of(fw, starts, "float64") for _ in range(2)]
    for kind, parameters in zip((impl.AdamW, official(fw).adamw), both, strict=True):
        optimiser = fw.optimiser(kind, parameters)
        for gradient in gradients:
            fw.apply_gradients(optimiser, parameters, [gradient])
    fw.close(ours, fw.numpy(theirs), of="parameter after 5 steps", dtype="float64", rtol=0, atol=2e-7)


@with_amsgrad
@pytest.mark.parametrize("decay", [0.0, 0.4], ids=["alone", "with decay"])
def test_a_burst_of_gradient_is_remembered(impl, fw, rng, decay):
    """After a burst v falls again. With amsgrad its largest value stays, and the steps stay short."""
    start, gradients = rng.standard_normal((3, 4)), rng.standard_normal((8, 3, 4))
    gradients[1] *= 20
    check_path(impl, fw, start, gradients, weight_decay=decay, amsgrad=True)


@with_amsgrad
def test_the_correction_comes_after_the_largest(impl, fw, rng):
    """Equal gradients: v grows while v̂ stays, so the order of maximum and correction shows."""
    gradients = np.ones((6, 3)) * [0.1, 1.0, 10.0] * np.array([1, 1, 1, 0.5, 0.5, 1])[:, None]
    check_path(impl, fw, rng.standard_normal(3), gradients, betas=(0.8, 0.9), amsgrad=True)


def check_differing(impl, fw, rng, build):
    """Two parameters with the same gradients and other options."""
    starts, gradients = rng.standard_normal((2, 3)), rng.standard_normal((5, 3)) * [[1], [5], [1], [1], [1]]
    parameters = parameters_of(fw, starts)
    optimiser, options, limit = build(fw, impl.AdamW, *parameters)
    cut = np.clip(gradients, -limit, limit)
    paths = [by_hand(fw, start, cut, **own) for start, own in zip(starts, options, strict=True)]
    check_steps(fw, optimiser, parameters, paths, [gradients, gradients])


@groups
def test_some_parameters_can_be_spared_the_decay(impl, fw, rng):
    """By a group with weight_decay 0 in torch, by exclude_from_weight_decay in Keras."""
    check_differing(impl, fw, rng, official(fw).sparing_decay)


@groups
def test_the_learning_rate_may_change_between_steps(impl, fw, rng):
    start, gradients, rates = rng.standard_normal(3), rng.standard_normal((4, 3)), [0.125, 0.125, 0.5, 0.03125]
    parameters = parameters_of(fw, [start])
    optimiser = fw.optimiser(impl.AdamW, parameters, **DECAYING)
    path = by_hand(fw, start, gradients, **DECAYING | {"lr": rates})
    for t, rate in enumerate(rates):
        fw.set_learning_rate(optimiser, rate)
        check_steps(fw, optimiser, parameters, [[path[t]]], [[gradients[t]]], first=t + 1)


@groups
def test_what_the_base_class_offers_works(impl, fw, rng):
    """In torch every option may differ by group; Keras has schedules of the learning rate, clipping and names."""
    check_differing(impl, fw, rng, official(fw).with_all_options)


@groups
def test_a_parameter_may_miss_the_first_steps(impl, fw, rng):
    """Its means start when its gradients do. The t of its correction is its own in torch, the optimiser's in Keras."""
    starts, gradients = rng.standard_normal((2, 3)), rng.standard_normal((5, 3))
    check_paths(impl, fw, starts, [gradients, [None, None, None, *gradients[3:]]])


@groups
def test_a_parameter_may_join_or_rest(impl, fw, rng):
    """It joins, in torch as a new group, after two steps, and has no gradient in the fifth."""
    starts, gradients = rng.standard_normal((2, 3)), rng.standard_normal((6, 3))
    parameters = parameters_of(fw, starts)
    optimiser, join, options = official(fw).joining(fw, impl.AdamW, *parameters)
    given = [None, None, *gradients[2:4], None, gradients[5]]
    early, late = by_hand(fw, starts[0], gradients, **PLAIN), by_hand(fw, starts[1], given, **options)
    check_steps(fw, optimiser, parameters, [early[:2], late[:2]], [gradients[:2], given[:2]])
    join()
    check_steps(fw, optimiser, parameters, [early[2:], late[2:]], [gradients[2:], given[2:]], first=3)


@closure
def test_the_closure_runs_once_and_its_result_is_returned(impl, fw, rng):
    """The loss is ½ Σ c θ², so its gradient is c θ."""
    start, curvature = rng.standard_normal((2, 3)), rng.uniform(0.5, 2, (2, 3))
    (parameter,) = parameters = parameters_of(fw, [start])
    optimiser = fw.optimiser(impl.AdamW, parameters, **DECAYING)
    weights, calls = fw.array(curvature), []

    def loss():
        calls.append(None)
        return fw.sum(weights * parameter * parameter) / 2

    path = [start, *by_hand(fw, start, [lambda theta: curvature * theta] * 3, **DECAYING)]
    for t in range(3):
        value = official(fw).minimise(optimiser, loss, parameters)
        assert len(calls) == t + 1, f"after step {t + 1} the closure had been called {len(calls)} times"
        fw.close(value, np.sum(curvature * path[t] ** 2) / 2, of=f"loss that step {t + 1} returned")
        fw.close(parameter, path[t + 1], of=f"parameter after step {t + 1}")


@closure
def test_the_closure_needs_nothing_of_its_caller(impl, fw, rng):
    """It is differentiated inside torch.no_grad, and inside a traced function; it may hold more than is updated."""
    starts, target = rng.standard_normal((2, 3)), rng.standard_normal(3)
    given, other = parameters_of(fw, starts)
    optimiser = fw.optimiser(impl.AdamW, [given], **PLAIN)
    goal = fw.array(target)

    def loss():
        return fw.sum((given - goal) * (given - goal) + other * other) / 2

    fw.traced(lambda: official(fw).minimise(optimiser, loss, [given]))()
    (expected,) = by_hand(fw, starts[0], [starts[0] - target], **PLAIN)
    fw.close(given, expected, of="parameter that the optimiser was given")
    fw.check_unchanged(other, starts[1], of="parameter that the optimiser was not given")


@closure
def test_the_update_happens_in_place(impl, fw, rng):
    """Whoever holds the parameter sees it move: another view of it in torch, a traced function in TensorFlow."""
    start, gradients = rng.standard_normal((2, 3)), rng.standard_normal((4, 2, 3))
    options = DECAYING | {"amsgrad": True}
    (parameter,) = parameters = parameters_of(fw, [start])
    optimiser = fw.optimiser(impl.AdamW, parameters, **options)
    step = fw.traced(lambda gradient: official(fw).apply(optimiser, parameter, gradient))
    for t, (gradient, expected) in enumerate(zip(gradients, by_hand(fw, start, gradients, **options), strict=True), 1):
        step(fw.array(gradient))
        fw.close(parameter, expected, of=f"parameter after step {t}")


@saved
@pytest.mark.parametrize("amsgrad", [False, True], ids=["plain", "amsgrad"])
@pytest.mark.parametrize("steps", [0, 3], ids=["before the first step", "after three steps"])
def test_a_restored_optimiser_goes_on_as_the_old_one_would_have(impl, fw, rng, amsgrad, steps):
    options = {"lr": 0.25, "betas": (0.7, 0.9), "eps": 0.5, "weight_decay": 0.3, "amsgrad": amsgrad}
    starts, gradients = rng.standard_normal((2, 3)), rng.standard_normal((7, 2, 3)) * rng.uniform(0.1, 9, (7, 1, 1))
    gradients = gradients.swapaxes(0, 1)
    paths = np.array([by_hand(fw, start, own, **options) for start, own in zip(starts, gradients, strict=True)])
    parameters, copies = parameters_of(fw, starts), parameters_of(fw, paths[:, steps - 1] if steps else starts)
    optimiser = fw.optimiser(impl.AdamW, parameters, **options)
    check_steps(fw, optimiser, parameters, paths[:, :steps], gradients[:, :steps])
    restored, rest = official(fw).restored(optimiser, impl.AdamW, copies), (paths[:, steps:], gradients[:, steps:])
    check_steps(fw, optimiser, parameters, *rest, first=steps + 1)
    check_steps(fw, restored, copies, *rest, of="restored parameter", first=steps + 1)


def slopes(fw, model, x, y):
    return fw.gradients(lambda: fw.cross_entropy(fw.call(model, x), y), fw.parameters(model).values())


def trained(fw, kind, seed, epochs, dtype="float32", **options):
    """A network that has taken ten steps an epoch on the digits."""
    (images, labels), rng = data.digits("train"), np.random.default_rng(seed)
    model = fw.randomise(fw.sequential((64,), ("dense", 32), "relu", ("dense", 10), dtype=dtype), rng)
    optimiser = fw.optimiser(kind, model, **options)
    for _ in range(epochs):
        for chosen in np.array_split(rng.permutation(len(images)), 10):
            gradients = slopes(fw, model, fw.array(images[chosen], dtype), fw.array(labels[chosen]))
            fw.apply_gradients(optimiser, model, gradients)
    return model


@real_data
@pytest.mark.parametrize("amsgrad", [False, True], ids=["plain", "amsgrad"])
def test_a_network_takes_the_official_path(impl, fw, rng, amsgrad):
    """Two float64 networks on the digits, one trained by the official AdamW: they stay equal."""
    options = EXACT | {"eps": 1e-6, "weight_decay": 0.125, "amsgrad": amsgrad}
    kinds, seed = (impl.AdamW, official(fw).adamw), rng.integers(1000)
    ours, theirs = (fw.parameters(trained(fw, kind, seed, 1, "float64", **options)) for kind in kinds)
    expected, names = map(fw.numpy, theirs.values()), [f"{name} after 10 steps" for name in ours]
    fw.close_all(ours.values(), expected, names, dtype="float64", rtol=1e-6, atol=1e-7)


@real_data
def test_a_network_learns_to_read_digits(impl, fw, rng):
    model = trained(fw, impl.AdamW, rng, epochs=3, lr=2.0**-5)
    images, labels = data.digits("test")
    right = np.mean(np.argmax(fw.numpy(fw.call(model, fw.array(images))), axis=1) == labels)
    constant = np.max(np.bincount(labels)) / len(labels)
    assert constant < 0.15, f"the commonest digit is {constant:.0%} of the test set"
    assert right > 0.86, f"{right:.1%} of the test digits are read right after 30 steps; one answer: {constant:.0%}"
