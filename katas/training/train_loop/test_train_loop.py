"""Levels of the train_loop kata. Every expected value comes from `by_hand`: gradient descent in float64 NumPy."""

import re

import numpy as np
import pytest

from dojo import level
from dojo.testing import data

refusals = level(1, "refusals")
loop = level(2, "the loop", points=3)
uneven = level(3, "uneven batches")
two_modes = level(4, "two modes", points=2)
best_weights = level(5, "the best weights", points=3)
diverged = level(6, "diverged")
bar = level(7, "progress bar")
real_data = level(8, "real data", points=2)

RATE = 0.125  # of the gradient descent in all levels but the last


@pytest.fixture(autouse=True)
def no_ready_made_loop(fw, monkeypatch):
    """The loops that Keras has are off limits; whoever calls one is told."""

    def refused(*args, **options):
        raise AssertionError("Keras's own loops are off limits: write the loop yourself")

    for kind in type(fw.model(None)).__mro__:
        for name in {"fit", "evaluate", "train_on_batch", "test_on_batch"} & set(vars(kind)):
            monkeypatch.setattr(kind, name, refused)


def by_hand(weights, batches, validation, epochs, shift=0.0, moving=False):
    """What training must come to: the losses of each epoch, the weights after each, and the best epoch."""
    w, b, centre = (np.array(array, "float64") for array in weights)
    history, kept = {"train_loss": [], "val_loss": []}, []
    for _ in range(epochs):
        losses = []
        for x, y in batches:
            centre = (centre + x.mean(axis=0)) / 2 if moving else centre
            error = (x - centre) @ w + b + shift - y
            losses.append(np.mean((1 + y**2) * error**2))
            slope = 2 * (1 + y**2) * error / error.size
            w, b = w - RATE * (x - centre).T @ slope, b - RATE * slope.sum(axis=0)
        history["train_loss"].append(np.average(losses, weights=[len(x) for x, _ in batches]))
        history["val_loss"].append(loss_by_hand((w, b, centre), validation))
        kept.append((w, b, centre))
    return history, kept, int(np.argmin(history["val_loss"]))


def loss_by_hand(weights, batches):
    w, b, centre = weights
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return np.mean((1 + y**2) * ((x - centre) @ w + b - y) ** 2)


def loss_of(fw):
    """The mean of (1 + y²) (output − y)², which tells targets from outputs."""
    return fw.own_loss(lambda outputs, targets: fw.mean((1 + targets**2) * (outputs - targets) ** 2))


def model_of(fw, weights, shift=0.0, moving=False):
    """(x − centre) w + b, and in training mode a shift more; and a list of the calls in evaluation mode that are
    recorded for gradients.

    The centre is no parameter: if it is `moving`, each call in training mode moves it half-way to the mean of the
    batch, as batch normalisation does.
    """
    w, b, centre = weights
    recorded = []

    def compute(model, x, training):
        if training and moving:
            fw.assign(model.centre, (model.centre + fw.mean(x, axis=0)) / 2)
        if not training and fw.records_gradients():
            recorded.append(x.shape)
        return (x - model.centre) @ model.w + model.b + (shift if training else 0)

    return fw.model(compute, {"w": w, "b": b}, kept={"centre": centre}), recorded


class Batches:
    """Pairs of tensors without a length; it begins anew each time, and counts what is taken from it."""

    def __init__(self, fw, batches):
        self.batches = [(fw.array(x), fw.array(y)) for x, y in batches]
        self.begun = self.taken = 0

    def __iter__(self):
        self.begun += 1
        for batch in self.batches:
            self.taken += 1
            yield batch


def problem(rng, sizes=(4, 4, 4), val_sizes=(4, 4), width=3):
    """Weights to start from, training batches and validation batches, as arrays."""
    weights = rng.standard_normal((width, 2)), rng.standard_normal(2), rng.standard_normal(width) / 2
    batches = [
        [(rng.standard_normal((n, width)), rng.uniform(-1, 1, (n, 2))) for n in part] for part in (sizes, val_sizes)
    ]
    return weights, *batches


def run(impl, fw, weights, batches, validation, epochs, loss=None, options=None, **kind):
    """Train the model; returns the history, the model, and what was recorded in evaluation mode."""
    model, recorded = model_of(fw, weights, **kind)
    pairs = [part if isinstance(part, Batches) else Batches(fw, part) for part in (batches, validation)]
    history = impl.train(model, loss or loss_of(fw), fw.sgd(model, RATE), *pairs, epochs, **(options or {}))
    return history, model, recorded


def check_history(history, expected):
    """Both rows of numbers, epoch by epoch."""
    for name in ("train_loss", "val_loss"):
        found = history[name]
        assert len(found) == len(expected[name]), f"{name} has {len(found)} entries after {len(expected[name])} epochs"
        for epoch, (value, right) in enumerate(zip(found, expected[name], strict=True)):
            assert value == pytest.approx(right, rel=1e-4, abs=1e-5), (
                f"{name} of epoch {epoch} should be {right:.6g} and is {value:.6g}"
            )


def check_weights(fw, model, expected, when):
    for name, actual, right in zip(("w", "b", "centre"), (model.w, model.b, model.centre), expected, strict=True):
        fw.close(actual, right, of=f"{name} of the model {when}")


def check_training(impl, fw, weights, batches, validation, epochs, **kind):
    """Losses, weights and best epoch against the oracle."""
    history, model, _ = run(impl, fw, weights, batches, validation, epochs, **kind)
    expected, kept, best = by_hand(weights, batches, validation, epochs, **kind)
    check_history(history, expected)
    found = history["best_epoch"]
    assert found == best, f"best_epoch is {found}, but the validation loss was lowest in epoch {best} of {epochs}"
    check_weights(fw, model, kept[best], f"after {epochs} epochs, of which {best} was the best,")
    return model


def check_evaluation(impl, fw, model, weights, validation):
    """The mean loss over all samples, in evaluation mode; and nothing of the model changes."""
    found, right = impl.evaluate(model, loss_of(fw), Batches(fw, validation)), loss_by_hand(weights, validation)
    assert type(found) is float, f"evaluate returned {type(found).__name__}, not a float"
    assert found == pytest.approx(right, rel=1e-4), f"the mean over all samples is {right:.6g}, but got {found:.6g}"
    check_weights(fw, model, weights, "after evaluation")


@refusals
@pytest.mark.parametrize("epochs", [0, -1])
def test_fewer_than_one_epoch_is_refused(impl, fw, rng, epochs):
    with pytest.raises(ValueError):
        run(impl, fw, *problem(rng), epochs)


@refusals
@pytest.mark.parametrize("empty", ["training", "validation"])
def test_an_empty_set_is_refused(impl, fw, rng, empty):
    weights, batches, validation = problem(rng)
    with pytest.raises(ValueError):
        run(impl, fw, weights, *(([], validation) if empty == "training" else (batches, [])), 1)


@refusals
def test_nothing_cannot_be_evaluated(impl, fw, rng):
    model, _ = model_of(fw, problem(rng)[0])
    with pytest.raises(ValueError):
        impl.evaluate(model, loss_of(fw), [])


@refusals
def test_the_history_holds_plain_numbers(impl, fw, rng):
    """A tensor would keep its graph and its device memory alive."""
    history, _, _ = run(impl, fw, *problem(rng), 2)
    assert set(history) == {"train_loss", "val_loss", "best_epoch"}, f"the history has the keys {sorted(history)}"
    for name in ("train_loss", "val_loss"):
        kinds = [type(value).__name__ for value in history[name]]
        assert kinds == ["float", "float"], f"after two epochs {name} holds {kinds}; it must hold two floats"
    assert type(history["best_epoch"]) is int, f"best_epoch is {history['best_epoch']!r}; it must be an int"


@loop
@pytest.mark.parametrize("epochs", [1, 3])
def test_every_batch_updates_the_weights(impl, fw, rng, epochs):
    check_training(impl, fw, *problem(rng), epochs)


@loop
def test_each_batch_is_taken_once_an_epoch(impl, fw, rng):
    weights, batches, validation = problem(rng)
    training, held_out = Batches(fw, batches), Batches(fw, validation)
    run(impl, fw, weights, training, held_out, 3)
    for part, name in ((training, "training"), (held_out, "validation")):
        size = len(part.batches)
        assert part.begun == 3, f"the {name} batches were gone through {part.begun} times in 3 epochs"
        assert part.taken == 3 * size, f"{part.taken} {name} batches were taken in 3 epochs of {size}"


@loop
def test_evaluation_is_the_mean_loss(impl, fw, rng):
    weights, _, validation = problem(rng)
    check_evaluation(impl, fw, model_of(fw, weights)[0], weights, validation)


@pytest.mark.gpu
@loop
def test_the_loop_runs_on_the_gpu(impl, gpu, rng):
    with gpu.on_device():
        model = check_training(impl, gpu, *problem(rng), 3)
    gpu.check_device(model.w, of="w")


@uneven
@pytest.mark.parametrize("sizes", [(4, 4, 1), (1, 5), (3,)], ids=["last smaller", "last larger", "single"])
def test_every_sample_of_training_counts_the_same(impl, fw, rng, sizes):
    check_training(impl, fw, *problem(rng, sizes), 2)


@uneven
@pytest.mark.parametrize("sizes", [(5, 5, 1), (1, 7), (1,)], ids=["last smaller", "last larger", "single"])
def test_every_sample_of_validation_counts_the_same(impl, fw, rng, sizes):
    weights, _, validation = problem(rng, val_sizes=sizes)
    check_evaluation(impl, fw, model_of(fw, weights)[0], weights, validation)


@two_modes
def test_training_and_validation_have_their_modes(impl, fw, rng):
    """The model's outputs are shifted in training mode, which shows in the losses of every epoch."""
    check_training(impl, fw, *problem(rng, (4, 3)), 3, shift=0.5)


@two_modes
def test_evaluation_sets_its_own_mode(impl, fw, rng):
    weights, _, validation = problem(rng)
    model, _ = model_of(fw, weights, shift=0.5, moving=True)
    fw.set_mode(model, training=True)
    check_evaluation(impl, fw, model, weights, validation)


@two_modes
def test_nothing_is_recorded_in_evaluation(impl, fw, rng):
    before, (weights, batches, validation) = fw.records_gradients(), problem(rng)
    _, model, recorded = run(impl, fw, weights, batches, validation, 2)
    assert not recorded, "the model ran in evaluation mode while gradients were recorded during training"
    model, recorded = model_of(fw, weights)
    fw.set_mode(model, training=False)
    impl.evaluate(model, loss_of(fw), Batches(fw, validation))
    assert not recorded, "evaluate ran the model while gradients were recorded"
    assert fw.records_gradients() == before, "evaluate switched the recording of gradients off for its caller too"


@two_modes
def test_validation_leaves_what_the_model_tracks_alone(impl, fw, rng):
    """The centre moves in training mode only."""
    weights, batches, validation = problem(rng)
    validation = [(x + 5, y) for x, y in validation]
    check_training(impl, fw, weights, batches, validation, 1, moving=True)


def passing_by(rng, moving=False):
    """A problem whose validation loss falls and rises again: training leads past what validation asks for."""
    x, v = rng.uniform(0.2, 0.4, (6, 1)), rng.uniform(0.2, 0.4, (4, 1))
    weights = np.zeros((1, 2)), np.zeros(2), np.full(1, 2.0 if moving else 0.0)
    batches, validation = [(x[:4], np.ones((4, 2))), (x[4:], np.ones((2, 2)))], [(v, np.full((4, 2), 0.7))]
    _, _, best = by_hand(weights, batches, validation, 6, moving=moving)
    assert 0 < best < 5, f"the problem is set wrongly: its best epoch is {best} of 6"
    return weights, batches, validation


@best_weights
@pytest.mark.parametrize("moving", [False, True], ids=["parameters", "all weights"])
def test_the_weights_of_the_best_epoch_are_restored(impl, fw, rng, moving):
    check_training(impl, fw, *passing_by(rng, moving), 6, moving=moving)


@best_weights
def test_a_last_epoch_can_be_the_best(impl, fw, rng):
    weights, batches, validation = passing_by(rng)
    *_, best = by_hand(weights, batches, validation, 6)
    check_training(impl, fw, weights, batches, validation, best + 1)


@best_weights
def test_of_equal_epochs_the_first_is_the_best(impl, fw, rng):
    """The loss does not look at the outputs, so it never changes."""
    weights, batches, validation = problem(rng)
    loss = fw.own_loss(lambda outputs, targets: fw.mean(0 * outputs + targets))
    history, _, _ = run(impl, fw, weights, batches, validation, 3, loss=loss)
    assert history["best_epoch"] == 0, f"all epochs are equal; best_epoch is {history['best_epoch']}, not 0"


@diverged
def test_an_epoch_without_a_number_is_never_the_best(impl, fw, rng):
    """Inputs so large that every step overshoots: the losses grow to inf and then become nan."""
    weights, batches, validation = problem(rng, (4, 4))
    huge = [(x * 3e4, y) for x, y in batches]
    with np.errstate(over="ignore", invalid="ignore"):
        expected, kept, _ = by_hand(weights, huge, validation, 1)
        history, model, _ = run(impl, fw, weights, huge, validation, 6)
    assert not np.isfinite(history["val_loss"][-1]), "the problem is set wrongly: it does not diverge"
    assert history["best_epoch"] == 0, f"the first epoch was the best; best_epoch is {history['best_epoch']}"
    assert history["val_loss"][0] == pytest.approx(expected["val_loss"][0], rel=1e-3), "val_loss of epoch 0 is wrong"
    for name, actual, right in zip(("w", "b"), (model.w, model.b), kept[0], strict=False):
        fw.close(actual, right, of=f"{name} of the first epoch", rtol=1e-3)


@diverged
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_without_a_best_epoch_the_last_weights_stay(impl, fw, rng, value):
    weights, batches, validation = problem(rng)
    endless = [(x, np.full_like(y, float(value))) for x, y in validation]
    history, model, _ = run(impl, fw, weights, batches, endless, 2)
    _, kept, _ = by_hand(weights, batches, validation, 2)
    assert history["best_epoch"] is None, f"every val_loss is {value}; best_epoch is {history['best_epoch']}, not None"
    assert len(history["val_loss"]) == 2, f"val_loss has {len(history['val_loss'])} entries after 2 epochs"
    assert not np.isfinite(history["val_loss"]).any(), f"val_loss should not be finite: {history['val_loss']}"
    check_weights(fw, model, kept[-1], "after 2 epochs")


@bar
def test_the_bar_counts_epochs_and_shows_both_numbers(impl, fw, rng, capsys):
    weights, batches, validation = problem(rng, (4, 4))
    expected, _, _ = by_hand(weights, batches, validation, 5)
    capsys.readouterr()
    run(impl, fw, weights, batches, validation, 5, options={"progress": True})
    captured = capsys.readouterr()
    shown = (captured.err + captured.out).replace("\r", "\n")
    last = [line for line in shown.splitlines() if line.strip()][-1:]
    assert last, "nothing was shown: where is the bar?"
    assert "5/5" in last[0], f"after 5 epochs the bar should stand at 5/5 and reads {last[0]!r}"
    for name in ("train_loss", "val_loss"):
        match = re.search(rf"{name}=\s*([-+.\deE]+)", last[0])
        assert match, f"the bar should show {name}=… and reads {last[0]!r}"
        right = expected[name][-1]
        assert float(match[1]) == pytest.approx(right, rel=0.02), (
            f"the bar shows {name}={match[1]} where the last epoch had {right:.3g}"
        )


@bar
@pytest.mark.parametrize("options", [{}, {"progress": False}], ids=["by default", "when refused"])
def test_without_progress_nothing_is_printed(impl, fw, rng, capsys, options):
    capsys.readouterr()
    run(impl, fw, *problem(rng), 2, options=options)
    captured = capsys.readouterr()
    assert not (captured.err + captured.out), f"without progress it printed {(captured.err + captured.out)[:80]!r}"


def digits(rng):
    """Scans of digits: 200 to train on, half of them with a random class; 400 to validate on; the rest unseen."""
    images, classes = data.digits()
    order = rng.permutation(len(images))
    images, classes = images[order].astype("float32"), classes[order]
    wrong = classes[:200].copy()
    wrong[:100] = rng.integers(0, 10, 100)
    return (images[:200], wrong), (images[200:600], classes[200:600]), (images[600:], classes[600:])


def data_loader(fw, images, classes, batch):
    from torch.utils.data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(fw.array(images), fw.array(classes)), batch, shuffle=True)


def data_set(fw, images, classes, batch):
    from tensorflow.data import Dataset

    return Dataset.from_tensor_slices((images, classes)).shuffle(len(images)).batch(batch)


def loader(fw, *arguments):
    return {"torch": data_loader, "tensorflow": data_set}[fw.name](fw, *arguments)


@real_data
def test_a_network_keeps_what_it_learnt_before_it_learnt_by_heart(impl, fw, rng):
    """With wrong labels to learn by heart the last epoch is worse than the best: the loop must return the best."""
    training, validation, unseen = digits(rng)
    model = fw.sequential((64,), ("dense", 128), "relu", "norm", ("dense", 10))
    loss, batches = fw.own_loss(fw.cross_entropy), loader(fw, *training, 44)
    history = impl.train(model, loss, fw.adam(model, 0.03), batches, loader(fw, *validation, 150), epochs=11)
    lowest, last = min(history["val_loss"]), history["val_loss"][-1]
    assert lowest < 0.97 * last, f"val_loss should rise again; its lowest is {lowest:.2f}, its last {last:.2f}"
    restored = impl.evaluate(model, loss, loader(fw, *validation, 150))
    assert restored == pytest.approx(lowest, rel=1e-3), (
        f"the lowest val_loss is {lowest:.3f}, but the model that came back has {restored:.3f}"
    )
    constant = np.log(10)  # the loss of a model that gives every digit the same probability
    found = impl.evaluate(model, loss, loader(fw, *unseen, 500))
    assert found < 1.9 < constant, f"the loss on unseen digits is {found:.2f}; knowing nothing gives {constant:.2f}"
