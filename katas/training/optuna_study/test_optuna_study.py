"""Levels of the optuna_study kata.

Networks are computed again in float64 NumPy. Studies run on objectives that train nothing, whose outcome follows from
the median rule by hand. The first run of the last but one level is a process of its own, ended by SIGKILL.
"""

import itertools
import multiprocessing
import os
import signal
import tempfile
import uuid
from inspect import signature

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial, TrialState, create_trial

from dojo import level
from dojo.testing import data

space = level(1, "the space")
network = level(2, "the network")
objectives = level(3, "the objective", points=2)
stopping = level(4, "bad trials stopped", points=2)
studies = level(5, "the study", points=2)
resuming = level(6, "kill and go on", points=3)
digits_learnt = level(7, "digits", points=2)

WIDTH = IntDistribution(8, 64, log=True)
OTHERS = {"rate": FloatDistribution(1e-4, 1e-1, log=True), "batch": CategoricalDistribution([32, 64, 128])}


def point(widths, rate, batch):
    """The parameters of a trial with these hidden layers."""
    widths = {f"width_{layer}": width for layer, width in enumerate(widths)}
    return {"depth": len(widths), "rate": rate, "batch": batch} | widths


class Recorder(FixedTrial):
    """A trial with given parameters, which notes what happens and wants to stop after one of its epochs."""

    def __init__(self, parameters, stop_after=None):
        super().__init__(parameters)
        self.events, self.reported, self.stop_after = [], [], stop_after

    def report(self, value, step):
        self.events.append(f"report {step}")
        self.reported.append(value)

    def should_prune(self):
        self.events.append("ask")
        return f"report {self.stop_after}" in self.events


def digits(fw, *sizes):
    """Pairs of images and labels: parts of the digits, in one random order."""
    images, labels = data.digits()
    parts = np.split(np.random.default_rng(0).permutation(len(labels)), np.cumsum(sizes))
    return [(fw.array(images[rows]), fw.array(labels[rows])) for rows in parts[: len(sizes)]]


@space
@pytest.mark.parametrize("widths", [[8], [64, 9], [20, 11, 33]], ids=["one", "two", "three"])
def test_only_the_layers_that_there_are_get_a_width(impl, fw, widths):
    """A trial that draws any other name has no value for it, and Optuna says so."""
    trial = FixedTrial(point(widths, 0.01, 64))
    drawn = impl.suggest(trial)
    assert drawn == {"widths": widths, "rate": 0.01, "batch": 64}, f"the trial was {trial.params}, yours is {drawn}"
    expected = {"depth": IntDistribution(1, 3), **OTHERS} | {f"width_{layer}": WIDTH for layer in range(len(widths))}
    for name, distribution in expected.items():
        found = trial.distributions.get(name)
        assert found == distribution, f"{name} should be drawn from {distribution}, yours from {found}"


def outputs_by_hand(fw, model, widths, images):
    """The logits, from the model's own weights, which are known by their shapes: no two layers have the same."""
    arrays = [fw.numpy(parameter).astype("float64") for parameter in fw.parameters(model).values()]
    kernels = {frozenset(array.shape): array for array in arrays if array.ndim > 1}
    biases = {len(array): array for array in arrays if array.ndim == 1}
    pairs, hidden = list(itertools.pairwise([64, *widths, 10])), images
    shapes, sizes = [array.shape for array in kernels.values()], sorted(biases)
    assert kernels.keys() == set(map(frozenset, pairs)), f"the layers should go {pairs}, the kernels have {shapes}"
    assert sizes == sorted([*widths, 10]), f"there are biases of the sizes {sizes}"
    for place, pair in enumerate(pairs):
        kernel = kernels[frozenset(pair)]
        hidden = hidden @ (kernel if kernel.shape == pair else kernel.T) + biases[pair[1]]
        hidden = np.maximum(hidden, 0) if place < len(widths) else hidden
    return hidden


@network
@pytest.mark.parametrize("widths", [[9], [21, 8], [12, 33, 7]], ids=["one", "two", "three"])
def test_dense_layers_with_a_relu_between(impl, fw, rng, widths):
    images = 3 * rng.standard_normal((5, 64))
    model = impl.make_model(widths)
    output = fw.call(model, fw.array(images))
    fw.close(output, outputs_by_hand(fw, model, widths, images), of="logits", rtol=1e-3, atol=1e-4)


@objectives
@pytest.mark.parametrize("epochs", [0, -1])
def test_no_epochs_are_refused_before_any_trial(impl, fw, epochs):
    train, validation = digits(fw, 10, 10)
    with pytest.raises(ValueError):
        impl.make_objective(train, validation, epochs)
    impl.make_objective(train, validation, 1)  # is fine


@objectives
def test_each_epoch_reports_its_accuracy_and_asks(impl, fw):
    train, validation = digits(fw, 150, 70)
    trial = Recorder(point([16], 0.01, 64))
    value = impl.make_objective(train, validation, epochs=3)(trial)
    expected = ["report 0", "ask", "report 1", "ask", "report 2", "ask"]
    assert trial.events == expected, f"expected {expected}, yours does {trial.events}"
    assert all(type(found) is float for found in [*trial.reported, value]), (
        f"accuracies are floats of Python; reported are {trial.reported}, returned is {value!r}"
    )
    for found in trial.reported:
        rights = found * 70
        assert 0 <= found <= 1 and abs(rights - round(rights)) < 1e-4, f"{found} is no share of 70 validation images"
    assert value == trial.reported[-1], f"the last epoch reported {trial.reported[-1]}, returned is {value}"


def batches_and_start(impl, fw, rng, monkeypatch, epochs, seed=0):
    """The training images of each batch, of 70 in batches of 32, by number; and the largest weight matrix at first.

    Each image is known by its first number.
    """
    images, labels = rng.random((80, 64)).astype("float32"), rng.integers(0, 10, 80)
    seen, starts, make_model = [], [], impl.make_model
    row_of = {first: row for row, first in enumerate(images[:70, 0].tolist())}

    def note(batch, training):
        rows = [row_of.get(first) for first in batch[:, 0].tolist()]
        if None not in rows:  # they are no validation images
            seen.append(rows)

    def noted(widths):
        model = make_model(widths)
        fw.call(model, fw.array(images[:1]))  # Keras may make the weights then
        starts.append(max(map(fw.numpy, fw.parameters(model).values()), key=np.size))
        return fw.watched(model, (64,), note)

    with monkeypatch.context() as patch:
        patch.setattr(impl, "make_model", noted)
        train, validation = ((fw.array(images[part]), fw.array(labels[part])) for part in (slice(70), slice(70, 80)))
        impl.make_objective(train, validation, epochs, seed=seed)(FixedTrial(point([8], 0.01, 32)))
    return seen, starts[0]


@objectives
def test_an_epoch_goes_once_over_all_images_in_batches(impl, fw, rng, monkeypatch):
    """Two epochs over 70 images, in batches of 32."""
    batches, _ = batches_and_start(impl, fw, rng, monkeypatch, epochs=2)
    sizes = [len(batch) for batch in batches]
    assert sizes == [32, 32, 6] * 2, f"the batches should have 32, 32 and 6 training images, twice; yours have {sizes}"
    epochs = [list(itertools.chain(*part)) for part in (batches[:3], batches[3:])]
    for number, rows in enumerate(epochs):
        assert sorted(rows) == list(range(70)), f"epoch {number} should see each of 70 images once; it sees {rows}"
        assert rows != sorted(rows), f"epoch {number} sees the images in the order that they came in"
    assert epochs[0] != epochs[1], "both epochs see the images in the same order"


@objectives
def test_it_learns_from_one_set_and_is_judged_on_the_other(impl, fw):
    """In the validation set each label is one too large: the more digits are learnt, the fewer are right there."""
    train, (images, labels) = digits(fw, 600, 200)
    right = impl.make_objective(train, (images, labels), epochs=3)(FixedTrial(point([32], 0.01, 32)))
    assert right > 0.7, f"after three epochs at a good rate the accuracy on the validation set is {right:.3f}"
    shifted, trial = fw.array((fw.numpy(labels) + 1) % 10), Recorder(point([32], 0.003, 32))
    wrong = impl.make_objective(train, (images, shifted), epochs=4)(trial)
    last = trial.reported[-1]
    assert last < 0.15, f"with every validation label shifted by one, the accuracies are {trial.reported}"
    assert wrong == last, f"reported are {trial.reported}, returned is {wrong}: not the last"


@objectives
def test_rate_and_batch_size_are_those_of_the_trial(impl, fw):
    """After two epochs: ten times the rate has learnt more, and so have four times as many steps."""
    objective = impl.make_objective(*digits(fw, 600, 200), epochs=2)
    usual, slow, few = (
        objective(FixedTrial(point([64], rate, batch))) for rate, batch in [(1e-3, 32), (1e-4, 32), (1e-3, 128)]
    )
    assert usual > slow + 0.1, f"two epochs at a rate of 1e-4 give {slow:.3f}, at 1e-3 {usual:.3f}"
    assert usual > few + 0.1, f"two epochs in batches of 128 give {few:.3f}, in batches of 32 {usual:.3f}"


@objectives
def test_a_trial_depends_on_its_point_and_the_seed_alone(impl, fw, monkeypatch):
    built, make_model = [], impl.make_model
    monkeypatch.setattr(impl, "make_model", lambda widths: built.append(list(widths)) or make_model(widths))
    train, validation = digits(fw, 200, 100)

    def accuracies(objective, widths):
        trial = Recorder(point(widths, 0.01, 32))
        objective(trial)
        return trial.reported

    objective = impl.make_objective(train, validation, epochs=2)
    first = accuracies(objective, [16])
    accuracies(objective, [9, 12])
    again = accuracies(objective, [16])
    assert built == [[16], [9, 12], [16]], f"the trials had the widths [16], [9, 12] and [16], make_model got {built}"
    assert first == again, f"the same point gives {first}, and after another trial {again}"
    others = (accuracies(impl.make_objective(train, validation, 2, seed=seed), [16]) for seed in (1, 2, 3))
    assert any(other != first for other in others), f"four seeds give the same accuracies {first}"


@objectives
def test_another_seed_gives_another_start_and_another_order(impl, fw, rng, monkeypatch):
    found = [batches_and_start(impl, fw, rng, monkeypatch, epochs=1, seed=seed) for seed in (0, 1)]
    (batches, start), (other_batches, other_start) = found
    assert not np.allclose(start, other_start), "with the seeds 0 and 1 the network starts from the same weights"
    assert batches != other_batches, "with the seeds 0 and 1 the images come in the same order"


def check_counts(impl, study, complete, pruned, failed):
    found = impl.summary(study)
    assert (found["complete"], found["pruned"], found["failed"]) == (complete, pruned, failed), (
        f"{complete} trials should be complete, {pruned} pruned and {failed} failed; your summary is {found}"
    )


@stopping
def test_the_objective_stops_when_the_trial_says_so(impl, fw):
    trial = Recorder(point([8], 0.01, 64), stop_after=1)
    with pytest.raises(optuna.TrialPruned):
        impl.make_objective(*digits(fw, 100, 50), epochs=4)(trial)
    assert trial.events == ["report 0", "ask", "report 1", "ask"], f"told to stop after epoch 1, it does {trial.events}"


@stopping
def test_the_median_rule(impl, fw):
    """Each trial reports its own level at three steps, and the last rises above all at a step that it never reaches."""
    levels = [0.9, 0.8, 0.7, 0.6, 0.1, 0.95, 0.72, 0.85, 0.0]
    steps = []

    def objective(trial):
        trial.suggest_float("x", 0, 1)
        for step in range(3):
            steps[trial.number :] = [step]
            trial.report(levels[trial.number] if step < 2 else 1.0, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return levels[trial.number]

    study = impl.run_study(objective, None, len(levels))
    expected = [2, 2, 2, 2, 1, 2, 1, 2, 1]
    assert steps == expected, f"by the median rule the trials should stop after {expected}, yours after {steps}"
    check_counts(impl, study, complete=6, pruned=3, failed=0)


def parabola(trial):
    """The largest value, 1, is at 0.3."""
    return 1 - (trial.suggest_float("x", 0, 1) - 0.3) ** 2


@studies
@pytest.mark.parametrize("trials", [0, -1])
def test_no_trials_are_refused(impl, fw, trials):
    with pytest.raises(ValueError):
        impl.run_study(parabola, None, trials)


@studies
def test_the_largest_value_is_the_best(impl, fw):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    study = impl.run_study(parabola, None, 6)
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING, "Optuna's log is not set to warnings"
    assert study.study_name == "digits", f"the study should be called digits, it is called {study.study_name}"
    values = [trial.value for trial in study.trials]
    assert len(values) == 6, f"six trials are asked for, yours ran {len(values)}"
    x = study.trials[int(np.argmax(values))].params["x"]
    expected = {"complete": 6, "pruned": 0, "failed": 0, "best_value": max(values), "best_params": {"x": x}}
    assert impl.summary(study) == expected, f"the summary should be {expected}, yours is {impl.summary(study)}"


@studies
def test_the_seed_is_zero_unless_told(impl, fw):
    for name in ("make_objective", "run_study"):
        found = signature(getattr(impl, name)).parameters["seed"].default
        assert found == 0, f"the seed of {name} should be 0 by default, and is {found}"


@studies
def test_the_seed_decides_the_points(impl, fw):
    points = [[t.params["x"] for t in impl.run_study(parabola, None, 12, seed=seed).trials] for seed in (3, 3, 4)]
    assert points[0] == points[1], "two new studies with the same seed try different points"
    assert points[0] != points[2], "studies with different seeds try the same points"


@studies
def test_a_pruned_trial_is_never_the_best(impl, fw):
    study = optuna.create_study(direction="maximize")

    def add(state, value, x):
        space, reported = {"x": FloatDistribution(0, 1)}, {0: 1 - x}
        trial = create_trial(
            state=state, value=value, params={"x": x}, distributions=space, intermediate_values=reported
        )
        study.add_trial(trial)

    add(TrialState.PRUNED, 0.9, 0.1)
    add(TrialState.FAIL, None, 0.2)
    nothing = {"complete": 0, "pruned": 1, "failed": 1, "best_value": None, "best_params": None}
    assert impl.summary(study) == nothing, f"no trial is complete, yet your summary is {impl.summary(study)}"
    add(TrialState.COMPLETE, 0.0, 0.3)
    expected = nothing | {"complete": 1, "best_value": 0.0, "best_params": {"x": 0.3}}
    assert impl.summary(study) == expected, f"the summary should be {expected}, yours is {impl.summary(study)}"


PRUNED = 1  # the number of the trial that is pruned
KILLED = 3  # the number of the trial that takes the process with it


def counted(calls, fatal=None, error=None):
    """An objective that trains nothing: it notes its calls, and at the number `fatal` it dies or raises the error."""

    def objective(trial):
        calls.append(trial.number)
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 0)
        if trial.number == fatal and error:
            raise error
        if trial.number == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.number == PRUNED:
            raise optuna.TrialPruned
        return x

    return objective


def stored(storage, name):
    """What the storage holds, read by Optuna itself: a row for each trial."""
    trials = optuna.load_study(study_name=name, storage=storage).trials
    return [(trial.number, trial.state.name, trial.params.get("x"), trial.value) for trial in trials]


def check_points_differ(rows):
    points = [x for _, _, x, _ in rows]
    assert len(set(points)) == len(points), f"points are tried twice: {[round(x, 4) for x in points]}"


@pytest.fixture(scope="module")
def storage():
    """One database for all tests, its tables made already; in memory, where the system has a folder for that."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        url = f"sqlite:///{folder}/study.db"
        optuna.storages.RDBStorage(url)
        yield url


@pytest.fixture
def name():
    """A study that is new, also where a test runs twice."""
    return f"study {uuid.uuid4()}"


@resuming
def test_after_a_kill_it_goes_on(impl, storage, name):
    """The process dies in its fourth trial. Seven are asked for: three are there, and four are missing."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    arguments = counted([], KILLED), storage, 7, 0, name
    process = multiprocessing.get_context("fork").Process(target=impl.run_study, args=arguments)
    process.start()
    process.join(60)
    ended = not process.is_alive()
    process.kill()
    process.join()
    assert ended and process.exitcode == -signal.SIGKILL, (
        f"the first run should die in its trial {KILLED}; it {f'left with {process.exitcode}' if ended else 'hangs'}"
    )
    before = stored(storage, name)
    assert [state for _, state, _, _ in before] == ["COMPLETE", "PRUNED", "COMPLETE", "RUNNING"], (
        f"the killed run should leave three finished trials and one running in the storage, it left {before}"
    )

    calls = []
    study = impl.run_study(counted(calls), storage, 7, name=name)
    after = stored(storage, name)
    assert after[:KILLED] == before[:KILLED], f"finished trials were {before[:KILLED]}, and are now {after[:KILLED]}"
    assert after[KILLED][1] == "FAIL", f"the trial that died should be marked as failed, it is {after[KILLED][1]}"
    assert len(calls) == 4, f"three of seven trials had finished: four were missing, the second run made {len(calls)}"
    check_counts(impl, study, complete=6, pruned=1, failed=1)
    check_points_differ([row for row in after if row[1] != "FAIL"])


@resuming
def test_what_has_finished_is_counted_across_calls(impl, storage, name):
    """Three trials; the same again, which is nothing; one more; and a study beside it that begins anew."""
    calls = []
    for trials, expected in [(3, [0, 1, 2]), (3, []), (2, []), (4, [3])]:
        calls.clear()
        study = impl.run_study(counted(calls), storage, trials, name=name)
        assert calls == expected, f"asked for {trials} in all, the trials {expected} are missing; yours runs {calls}"
    assert len(study.trials) == 4, (
        f"the study that comes back should hold all 4 trials, yours holds {len(study.trials)}"
    )
    check_points_differ(stored(storage, name))
    calls.clear()
    impl.run_study(counted(calls), storage, 1, name=f"another {name}")
    assert calls == [0], f"a study of another name begins at trial 0; yours runs {calls}"
    assert len(stored(storage, name)) == 4, f"the first study had 4 trials, and now has {len(stored(storage, name))}"


@resuming
def test_a_dead_trial_is_marked_where_nothing_is_missing_too(impl, storage, name):
    """A study of two trials, and a third one that somebody began, and left."""
    study = impl.run_study(counted([]), storage, 2, name=name)
    study.ask()
    calls = []
    impl.run_study(counted(calls), storage, 2, name=name)
    states = [state for _, state, *_ in stored(storage, name)]
    assert not calls, f"both trials asked for have finished; yours runs {calls}"
    assert states == ["COMPLETE", "PRUNED", "FAIL"], f"the third trial is dead: FAIL; the states are {states}"


@resuming
def test_an_error_comes_out_and_a_later_call_goes_on(impl, storage, name):
    calls = []
    with pytest.raises(ZeroDivisionError):
        impl.run_study(counted(calls, fatal=2, error=ZeroDivisionError("in a trial")), storage, 4, name=name)
    assert calls == [0, 1, 2], f"the error comes in trial 2; your run made the trials {calls}"
    check_counts(impl, impl.run_study(counted(calls), storage, 4, name=name), complete=3, pruned=1, failed=1)


def stopped_by_hand(curves, epochs):
    """The epoch after which the median rule ends each trial, from the accuracies that it reported; None: not at all."""
    complete, stops = [], []
    for curve in curves:
        late = (
            epoch
            for epoch in range(1, len(curve))
            if len(complete) >= 4 and max(curve[: epoch + 1]) < np.median([other[epoch] for other in complete])
        )
        stops.append(next(late, None))
        if stops[-1] is None and len(curve) == epochs:
            complete.append(curve)
    return stops


@pytest.mark.timeout(60)  # TensorFlow traces a step for each trial
@digits_learnt
def test_the_best_parameters_hold_on_images_that_no_trial_has_seen(impl, fw):
    train, validation, test = digits(fw, 600, 400, 797)
    trials, epochs = 8, 3
    study = impl.run_study(impl.make_objective(train, validation, epochs), None, trials)
    found = impl.summary(study)
    assert found["complete"] + found["pruned"] == trials, f"{trials} trials are asked for; your summary is {found}"
    curves = [
        [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)] for trial in study.trials
    ]
    expected = stopped_by_hand(curves, epochs)
    ends = [len(c) - 1 if t.state is TrialState.PRUNED else None for c, t in zip(curves, study.trials, strict=True)]
    assert ends == expected, f"by the accuracies reported the trials should stop after {expected}, yours after {ends}"
    accuracy = impl.make_objective(train, test, epochs)(FixedTrial(found["best_params"]))
    guess = np.bincount(fw.numpy(test[1])).max() / 797
    assert guess < 0.2, f"always the same digit is right in {guess:.3f} of cases"
    assert accuracy > 0.5, f"with the best parameters the accuracy on the test set is {accuracy:.3f}"
