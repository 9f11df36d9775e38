"""Levels of the custom_train_step kata. Expected values come from `by_hand`: softmax regression in float64 NumPy."""

import gc

import numpy as np
import pytest

from dojo import level
from dojo.testing import data

refusals = level(1, "refusals")
one_update = level(2, "one update", points=2)
many_updates = level(3, "many updates", points=2)
metrics = level(4, "metrics", points=2)
no_work_twice = level(5, "no work twice", points=2)
frozen_weights = level(6, "frozen and unused weights")
digits_learnt = level(7, "digits", points=2)

RATE = 0.25


@pytest.fixture(autouse=True)
def no_ready_made_step(fw, monkeypatch):
    """The steps that Keras has are off limits; whoever calls one is told."""

    def refused(*args, **options):
        raise AssertionError("Model.fit and train_on_batch are off limits: write the step yourself")

    for kind in type(fw.model(None)).__mro__:
        for name in {"fit", "train_on_batch", "evaluate", "test_on_batch"} & set(vars(kind)):
            monkeypatch.setattr(kind, name, refused)


def by_hand(weights, batches, momentum=0.0, rates=None, decay=0.0):
    """Descent on the mean cross-entropy: the loss and the right answers of each batch, and w and b at the end.

    Without momentum the frameworks agree on decay: w shrinks by the share rate · decay in each step.
    """
    scale, w, b = (np.array(array, "float64") for array in weights)
    speed, losses, right = [0.0, 0.0], [], []
    for (x, y), rate in zip(batches, rates or [RATE] * len(batches), strict=True):
        logits = (x * scale) @ w + b + np.eye(w.shape[1])[0]
        logs = logits - logits.max(axis=1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        losses.append(-logs[np.arange(len(y)), y].mean())
        right.append(int((logits.argmax(axis=1) == y).sum()))
        slope = (np.exp(logs) - np.eye(w.shape[1])[y]) / len(y)
        speed = [momentum * speed[0] + (x * scale).T @ slope, momentum * speed[1] + slope.sum(axis=0)]
        w, b = w - rate * (speed[0] + decay * w), b - rate * (speed[1] + decay * b)
    return losses, right, (w, b)


def model_of(fw, weights, extras=False):
    """logits = (x · scale) w + b, and in training mode (1, 0, 0, …) more, which tells the modes apart.

    With `extras`, `scale` is a frozen weight, and there is a weight `spare`, not frozen, that the logits do not use.
    `model.python` counts how often its Python code ran, `model.passes` how often the model was computed.
    """
    scale, w, b = weights

    def compute(model, x, training):
        model.python += 1
        fw.assign(model.passes, model.passes + 1)
        logits = (x * (model.scale if extras else fw.array(scale))) @ model.w + model.b
        return logits + fw.array(np.eye(len(b))[0]) if training else logits

    trained = {"w": w, "b": b} | ({"scale": scale, "spare": np.ones(2)} if extras else {})
    model = fw.model(compute, trained, kept={"passes": np.zeros(())})
    model.python = 0
    if extras:
        fw.freeze(model.scale)
    fw.call(model, fw.array(np.zeros((1, len(scale)))))  # whatever Keras does at a first call is done
    fw.assign(model.passes, np.zeros(()))
    model.python = 0
    return model


def problem(rng, sizes, features=4, classes=3):
    """Weights (scale, w, b) and random batches of these sizes."""
    weights = rng.uniform(0.5, 2, features), rng.standard_normal((features, classes)), rng.standard_normal(classes)
    batches = [(rng.standard_normal((size, features)), rng.integers(0, classes, size)) for size in sizes]
    return weights, batches


def make(impl, fw, weights, momentum=0.0, extras=False, decay=0.0):
    """A step, its model and its optimizer."""
    model = model_of(fw, weights, extras)
    optimizer = fw.sgd(model, RATE, momentum, decay)
    return impl.TrainStep(model, fw.own_loss(fw.cross_entropy), optimizer), model, optimizer


def run(fw, step, batches):
    return [step(fw.array(x), fw.array(y)) for x, y in batches]


def check_weights(fw, model, expected, when):
    for name, right in zip("wb", expected, strict=True):
        fw.close(getattr(model, name), right, of=f"{name} {when}")


def check_passes(fw, model, batches, how):
    """As many passes as batches; and where a step is traced, the Python code of the model runs for the traces only."""
    passes = int(fw.numpy(model.passes))
    assert passes == batches, f"the model was computed {passes} times for {batches} batches, {how}"
    assert not fw.traces or model.python <= 3, (
        f"the Python code of the model ran {model.python} times for {batches} batches, {how}: a traced step runs it "
        "once, and once more where TensorFlow makes the optimizer's variables or meets a second size"
    )


def check_results(step, losses, right, sizes):
    found = step.results()
    assert set(found) == {"loss", "accuracy"}, f"results() has the keys {sorted(found)}, not loss and accuracy"
    expected = {"loss": np.average(losses, weights=sizes), "accuracy": sum(right) / sum(sizes)}
    for name, value in expected.items():
        kind = type(found[name]).__name__
        assert kind == "float", f"results()[{name!r}] is a {kind}; it should be Python's own float"
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), (
            f"over {sum(sizes)} samples in {len(sizes)} batches the {name} is {value:.5f}, yours is {found[name]:.5f}"
        )


@refusals
@pytest.mark.parametrize("extra", [-1, 1, -2], ids=["fewer", "more", "one"])
def test_as_many_targets_as_inputs(impl, fw, rng, extra):
    """With a loss that would not notice."""
    weights, [(x, y)] = problem(rng, [3])
    model = model_of(fw, weights)
    loss = fw.own_loss(lambda outputs, targets: outputs[0, 0] ** 2)
    step = impl.TrainStep(model, loss, fw.sgd(model, RATE))
    with pytest.raises(ValueError):
        step(fw.array(x), fw.array(np.resize(y, 3 + extra)))
    check_weights(fw, model, weights[1:], "after a batch that was refused")


@refusals
def test_there_are_no_figures_before_the_first_batch(impl, fw, rng):
    weights, batches = problem(rng, [3])
    step, _, _ = make(impl, fw, weights)
    with pytest.raises(ValueError):
        step.results()
    run(fw, step, batches)
    step.reset()
    with pytest.raises(ValueError):
        step.results()


@one_update
@pytest.mark.parametrize("size, features, classes", [(5, 4, 3), (1, 1, 2), (8, 3, 7)], ids=["usual", "single", "wide"])
def test_one_batch_moves_the_weights_once(impl, fw, rng, size, features, classes):
    weights, batches = problem(rng, [size], features, classes)
    step, model, _ = make(impl, fw, weights)
    (loss,) = run(fw, step, batches)
    losses, _, expected = by_hand(weights, batches)
    fw.close(loss, losses[0], of="loss of the batch, before its update and in training mode")
    check_weights(fw, model, expected, "after one batch")
    assert not getattr(loss, "requires_grad", False), "the loss still carries its graph: detach it"


@pytest.mark.gpu
@one_update
def test_the_step_runs_on_the_gpu(impl, gpu, rng):
    weights, batches = problem(rng, [5, 3])
    with gpu.on_device():
        step, model, _ = make(impl, gpu, weights)
        run(gpu, step, batches)
    losses, right, expected = by_hand(weights, batches)
    check_weights(gpu, model, expected, "after two batches")
    check_results(step, losses, right, [5, 3])


@many_updates
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_every_batch_counts_by_its_own_gradient(impl, fw, rng, momentum):
    weights, batches = problem(rng, [4] * 5)
    step, model, _ = make(impl, fw, weights, momentum)
    found = run(fw, step, batches)
    losses, _, expected = by_hand(weights, batches, momentum)
    for number, (loss, right) in enumerate(zip(found, losses, strict=True)):
        fw.close(loss, right, of=f"loss of batch {number}")
    check_weights(fw, model, expected, "after five batches")


@many_updates
def test_gradients_that_somebody_left_do_not_count(impl, fw, rng):
    """In PyTorch a weight holds its gradient, and whoever measures something may have left one there."""
    weights, batches = problem(rng, [4, 4])
    step, model, _ = make(impl, fw, weights)
    for x, y in batches:
        fw.leave_gradients(model)
        step(fw.array(x), fw.array(y))
    check_weights(fw, model, by_hand(weights, batches)[2], "after two batches, with gradients left before each")


@many_updates
def test_the_mode_is_set_at_every_step(impl, fw, rng):
    """Somebody validates between two steps, and leaves the model in evaluation mode."""
    weights, batches = problem(rng, [4, 4, 4])
    step, model, _ = make(impl, fw, weights)
    for x, y in batches:
        step(fw.array(x), fw.array(y))
        fw.call(model, fw.array(x), training=False)
    check_weights(fw, model, by_hand(weights, batches)[2], "after three batches with a validation between them")


@many_updates
def test_a_new_learning_rate_takes_effect(impl, fw, rng):
    weights, batches = problem(rng, [4, 4, 4])
    step, model, optimizer = make(impl, fw, weights)
    rates = [0.25, 0.5, 0.0625]
    for (x, y), rate in zip(batches, rates, strict=True):
        fw.set_learning_rate(optimizer, rate)
        step(fw.array(x), fw.array(y))
    check_weights(fw, model, by_hand(weights, batches, rates=rates)[2], f"after steps at the rates {rates}")


@metrics
@pytest.mark.parametrize("sizes", [(4, 4, 4), (5, 5, 1), (1, 7), (3,)], ids=["even", "last small", "uneven", "single"])
def test_every_sample_counts_the_same(impl, fw, rng, sizes):
    weights, batches = problem(rng, sizes)
    step, _, _ = make(impl, fw, weights)
    run(fw, step, batches)
    losses, right, _ = by_hand(weights, batches)
    check_results(step, losses, right, sizes)
    check_results(step, losses, right, sizes)  # asking again changes nothing


@metrics
def test_figures_can_be_read_between_two_batches(impl, fw, rng):
    weights, batches = problem(rng, [3, 3, 3, 3])
    step, _, _ = make(impl, fw, weights)
    losses, right, _ = by_hand(weights, batches)
    for number in range(4):
        run(fw, step, batches[number : number + 1])
        check_results(step, losses[: number + 1], right[: number + 1], [3] * (number + 1))


@metrics
def test_reset_forgets_the_figures_and_nothing_else(impl, fw, rng):
    weights, batches = problem(rng, [4, 2, 5, 3])
    step, model, _ = make(impl, fw, weights, momentum=0.9)
    run(fw, step, batches[:2])
    step.reset()
    run(fw, step, batches[2:])
    losses, right, expected = by_hand(weights, batches, momentum=0.9)
    check_results(step, losses[2:], right[2:], [5, 3])
    check_weights(fw, model, expected, "after four batches with a reset in the middle")


@metrics
def test_two_steps_keep_figures_of_their_own(impl, fw, rng):
    problems = [problem(rng, [4, 4]), problem(rng, [4, 4])]
    made = [make(impl, fw, weights) for weights, _ in problems]
    for number in range(2):
        for (step, _, _), (_, batches) in zip(made, problems, strict=True):
            run(fw, step, batches[number : number + 1])
    for (step, model, _), (weights, batches) in zip(made, problems, strict=True):
        losses, right, expected = by_hand(weights, batches)
        check_weights(fw, model, expected, "of one of two models that take turns")
        check_results(step, losses, right, [4, 4])


@no_work_twice
@pytest.mark.parametrize("sizes", [(4,) * 8, (8, 8, 3, 5, 7, 1, 2, 6)], ids=["one size", "many sizes"])
def test_the_model_runs_once_a_batch(impl, fw, rng, sizes):
    weights, batches = problem(rng, sizes)
    step, model, _ = make(impl, fw, weights)
    run(fw, step, batches)
    step.results()
    check_passes(fw, model, len(sizes), f"of the sizes {sizes}")


@no_work_twice
def test_a_new_learning_rate_or_a_reset_costs_no_trace(impl, fw, rng):
    weights, batches = problem(rng, [4] * 6)
    step, model, optimizer = make(impl, fw, weights)
    for number, (x, y) in enumerate(batches):
        fw.set_learning_rate(optimizer, 0.1 / (number + 1))
        step(fw.array(x), fw.array(y))
        step.reset()
    check_passes(fw, model, 6, "each at another rate")


@no_work_twice
def test_nothing_is_kept_or_read_back(impl, fw, rng):
    """In PyTorch: no number is read from the device during a step, and no graph is left after it."""
    if fw.traces:
        pytest.skip("a traced step cannot read a number back, and keeps no tape")
    weights, batches = problem(rng, [4, 4, 4])
    step, _, _ = make(impl, fw, weights)
    before = graphs_alive()
    run(fw, step, batches[:1])
    read = fw.operations(run, fw, step, batches[1:]).count("aten::_local_scalar_dense")
    assert read == 0, f"in 2 steps a number was read back from the device {read} times: item(), float() or an if"
    kept = graphs_alive() - before
    assert kept <= 0, f"after the steps {kept} tensors still hold a graph, and with it their batches: detach them"


def graphs_alive():
    """How many tensors of this process hold a graph of PyTorch."""
    import torch

    gc.collect()
    return sum(isinstance(thing, torch.Tensor) and thing.grad_fn is not None for thing in gc.get_objects())


@frozen_weights
@pytest.mark.parametrize("decay", [0.0, 0.25], ids=["plain", "with decay"])
def test_frozen_and_unused_weights_stay(impl, fw, rng, decay):
    """An optimizer that decays moves a weight whose gradient is zero; it leaves alone one that has no gradient."""
    weights, batches = problem(rng, [4, 4, 4])
    step, model, _ = make(impl, fw, weights, extras=True, decay=decay)
    run(fw, step, batches)
    fw.close(model.scale, weights[0], of="scale, which is frozen,")
    fw.close(model.spare, np.ones(2), of="spare, which the loss does not depend on,")
    check_weights(fw, model, by_hand(weights, batches, decay=decay)[2], "after three batches")


@frozen_weights
def test_a_frozen_weight_stays_with_the_others_moving_on(impl, fw, rng):
    """b is frozen as well before the first step."""
    weights, batches = problem(rng, [4, 4])
    model = model_of(fw, weights, extras=True)
    fw.freeze(model.b)
    step = impl.TrainStep(model, fw.own_loss(fw.cross_entropy), fw.sgd(model, RATE))
    (loss, _) = run(fw, step, batches)
    fw.close(loss, by_hand(weights, batches)[0][0], of="loss of the first batch")
    fw.close(model.b, weights[2], of="b, which is frozen,")
    one = by_hand(weights, batches[:1])[2][0]
    two = by_hand((weights[0], one, weights[2]), batches[1:])[2][0]
    fw.close(model.w, two, of="w after two batches with b frozen")


@digits_learnt
def test_digits_are_learnt(impl, fw, rng):
    """Measured over ten seeds in both frameworks: 0.90 to 0.97 of new digits; always the commonest: 0.13 at most."""
    images, digits = data.digits()
    order = rng.permutation(len(digits))
    images, digits = images[order], digits[order]
    model = fw.sequential((64,), ("dense", 32), "relu", ("dense", 10))
    step, told = impl.TrainStep(model, fw.own_loss(fw.cross_entropy), fw.adam(model, 0.01)), []
    for _ in range(4):
        step.reset()
        for chosen in np.split(np.arange(1400), range(64, 1400, 64)):  # the last of 22 batches has 56 digits
            step(fw.array(images[chosen]), fw.array(digits[chosen]))
        told.append(step.results()["accuracy"])
    unseen = np.mean(fw.numpy(fw.call(model, fw.array(images[1400:]))).argmax(axis=1) == digits[1400:])
    baseline = np.bincount(digits[1400:]).max() / len(digits[1400:])
    assert told[-1] > told[0] + 0.05, f"the accuracy should rise from epoch to epoch, and is {told}"
    assert unseen > 0.85 > 0.2 > baseline, (
        f"after 4 epochs {unseen:.1%} of new digits are right; always the commonest would be {baseline:.1%}"
    )
    assert abs(told[-1] - unseen) < 0.1, f"results() reports {told[-1]:.1%}, but {unseen:.1%} of new digits are right"
