"""Levels of the data_parallel kata. Losses and gradients come from `by_hand`, in float64 NumPy.

A function that takes a `worker` runs in real worker processes: `run(n, function, …)` starts n of them and returns what
each returned, in the order of their ranks. See dojo.testing.workers.
"""

import importlib
import os
import time
from functools import partial

import numpy as np
import pytest

from dojo import level
from dojo.testing import data
from dojo.testing.workers import Workers

shards_level = level(1, "shards")
same_start = level(2, "the same start")
joined_gradients = level(3, "joined gradients", points=2)
uneven_batches = level(4, "uneven batches", points=2)
training = level(5, "training", points=2)
few_collectives = level(6, "few collectives")
learning = level(7, "learning", points=2)
lost_worker = level(8, "a lost worker", points=2)

pytestmark = pytest.mark.timeout(120)  # on a busy machine the workers take their time to start

RATE = 0.1  # the learning rate, unless a test says otherwise
NAMES = ["first kernel", "first bias", "second kernel", "second bias"]


def join(worker):
    """The learner's own group, in each new process."""
    worker.group = worker.impl.join(worker.rank, worker.addresses, worker.timeout)


@pytest.fixture(scope="module", autouse=True)
def processes(framework):
    with Workers(framework, __file__, start=join) as processes:
        yield processes


@pytest.fixture
def run(processes, impl):
    return partial(processes.run, impl)


def by_hand(weights, features, labels):
    """Mean softmax cross-entropy of a network with one tanh layer, and its gradients: (loss, four gradients)."""
    w1, b1, w2, b2 = (np.asarray(array, "float64") for array in weights)
    hidden = np.tanh(features @ w1 + b1)
    scores = hidden @ w2 + b2
    scores -= scores.max(axis=1, keepdims=True)
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    each = np.arange(len(labels)), labels
    d_scores = np.exp(log_p)
    d_scores[each] -= 1
    d_scores /= len(labels)
    d_hidden = d_scores @ w2.T * (1 - hidden**2)
    gradients = [features.T @ d_hidden, d_hidden.sum(axis=0), hidden.T @ d_scores, d_scores.sum(axis=0)]
    return -log_p[each].mean(), gradients


def problem(rng, count, inputs=5, hidden=4, classes=3):
    """(weights, features, labels) of a small classification problem."""
    shapes = (inputs, hidden), (hidden,), (hidden, classes), (classes,)
    weights = [rng.standard_normal(shape) for shape in shapes]
    return weights, rng.standard_normal((count, inputs)), rng.integers(0, classes, count)


def dense_network(fw, weights, dtype="float32"):
    """Dense layers with tanh between them, from [kernel, bias, kernel, bias, …]."""
    parts = [part for bias in weights[1::2] for part in (("dense", len(bias)), "tanh")][:-1]
    network = fw.sequential((len(weights[0]),), *parts, dtype=dtype)
    for layer, kernel, bias in zip(fw.layers(network), weights[::2], weights[1::2], strict=True):
        fw.set_weights(layer, {"kernel": kernel, "bias": bias})
    return network


def parameters(fw, network):
    """Arrays of all parameters, in the framework's own layout."""
    return [fw.numpy(parameter) for parameter in fw.parameters(network).values()]


def in_own_layout(fw, weights, dtype="float32"):
    """[kernel, bias, kernel, bias, …] as a dense network of the framework keeps them."""
    return parameters(fw, dense_network(fw, weights, dtype))


def check_alike(found, what):
    """Every worker returned the same bits."""
    for rank, arrays in enumerate(found):
        for name, actual, first in zip(NAMES, arrays, found[0], strict=True):
            assert np.array_equal(actual, first), f"workers 0 and {rank} differ in the {what.format(name)}"


COUNTS = [(12, 3), (10, 2), (11, 3), (2, 3), (0, 2), (9, 1)]


@shards_level
@pytest.mark.parametrize(("count", "workers"), COUNTS)
def test_every_sample_has_exactly_one_worker(impl, fw, count, workers):
    shards = [impl.shard(count, rank, workers, epoch=3, seed=7) for rank in range(workers)]
    for rank, shard in enumerate(shards):
        fw.check_shape(shard, ((count - rank + workers - 1) // workers,), of=f"shard of worker {rank} of {workers}")
        fw.check_dtype(shard, "int64", of="shard")
    found = sorted(np.concatenate([fw.numpy(shard) for shard in shards]).tolist())
    assert found == list(range(count)), f"{count} samples, {workers} workers: together the shards hold {found}"


@shards_level
@pytest.mark.parametrize(("count", "workers"), COUNTS)
def test_workers_take_turns_in_the_order_of_the_epoch(impl, fw, count, workers):
    order = fw.numpy(impl.shard(count, 0, 1, epoch=2, seed=5))
    for rank in range(workers):
        shard = impl.shard(count, rank, workers, epoch=2, seed=5)
        fw.close(shard, order[rank::workers], of=f"shard of worker {rank} of {workers}")


@shards_level
def test_every_epoch_and_every_seed_has_an_order_of_its_own(impl, fw):
    def order(**which):
        return fw.numpy(impl.shard(50, 0, 1, **which)).tolist()

    assert order(epoch=1, seed=4) == order(epoch=1, seed=4), "the same epoch and seed gave two different orders"
    assert order(epoch=1, seed=4) != order(epoch=2, seed=4), "epochs 1 and 2 have the same order"
    assert order(epoch=1, seed=4) != order(epoch=1, seed=5), "seeds 4 and 5 give the same order"
    assert order() == order(epoch=0, seed=0), "epoch and seed are 0 by default"
    assert order() != list(range(50)), "the samples are not shuffled"


def draw(fw):
    """A number from the framework's global generator."""
    module = importlib.import_module(fw.name)
    return float(module.rand(()) if hasattr(module, "rand") else module.random.uniform(()))


@shards_level
def test_the_global_random_state_plays_no_part(impl, fw):
    shards, draws = [], []
    for seed in (1, 2):
        fw.seed(seed)
        shards.append(fw.numpy(impl.shard(50, 0, 2, epoch=1, seed=3)).tolist())
        draws.append(draw(fw))
        fw.seed(seed)
        assert draws[-1] == draw(fw), "shard changed the framework's global random state"
    assert shards[0] == shards[1], "the shard depends on the global random state, which differs between workers"


@shards_level
@pytest.mark.parametrize(("rank", "workers"), [(2, 2), (-1, 2), (0, 0), (3, 2)])
def test_a_worker_that_does_not_exist_is_refused(impl, rank, workers):
    with pytest.raises(ValueError):
        impl.shard(8, rank, workers)


def place_in_group(worker):
    assert worker.group is not None, "join returned no group"
    return worker.fw.place_in_group(worker.group)


@same_start
@pytest.mark.parametrize("workers", [2, 3])
def test_every_worker_has_its_place_in_the_group(run, workers):
    for rank, found in enumerate(run(workers, place_in_group)):
        assert found == (rank, workers), f"worker {rank} of {workers}: its group says rank and size are {found}"


NORMALISED = (3,), ("dense", 2), "norm"  # a batch normalisation keeps statistics that are not trained


def start_alike(worker, values):
    """Broadcast a network of which every worker has other values: all variables are then those of worker 0."""
    fw, impl = worker.fw, worker.impl
    network = fw.sequential(*NORMALISED)
    variables = list(fw.variables(network).values())
    for variable, value in zip(variables, values[worker.rank], strict=True):
        fw.assign(variable, value)
    impl.broadcast(worker.group, network)
    for number, (variable, expected) in enumerate(zip(variables, values[0], strict=True)):
        of = f"variable {number} (the statistics of the normalisation are variables too)"
        fw.close(fw.cast(variable, "float32"), expected, of=of)


@same_start
@pytest.mark.parametrize("workers", [2, 3])
def test_all_workers_start_with_the_variables_of_worker_zero(run, rng, fw, workers):
    shapes = [tuple(variable.shape) for variable in fw.variables(fw.sequential(*NORMALISED)).values()]
    values = [[rng.integers(1, 99, shape).astype("float32") for shape in shapes] for _ in range(workers)]
    values[-1][0][:] = np.nan  # a worker whose start went wrong
    values[-1][1][:] = np.inf
    run(workers, start_alike, values)


def gradients_of_share(worker, weights, features, labels, ends, dtype, expected):
    """joined_gradients where this worker has the samples ends[rank] to ends[rank + 1]; returns the gradients."""
    fw, impl, network = worker.fw, worker.impl, dense_network(worker.fw, weights, dtype)
    share = slice(ends[worker.rank], ends[worker.rank + 1])
    batch = fw.array(features[share], dtype), fw.array(labels[share])
    loss, gradients = impl.joined_gradients(worker.group, network, *batch)
    _, again = impl.joined_gradients(worker.group, network, *batch)
    fw.close(loss, expected[0], of="loss", dtype=dtype)
    right, names = in_own_layout(fw, expected[1], dtype), [f"gradient of the {name}" for name in NAMES]
    fw.close_all(gradients, right, names, dtype=dtype)
    fw.close_all(again, right, [f"{name} in a second call" for name in names], dtype=dtype)
    return list(gradients)


def check_joined(run, weights, features, labels, ends, dtype="float32"):
    """The workers' gradients are those of one process on the joined batch, and the same bits on all of them."""
    expected = by_hand(weights, features, labels)
    found = run(len(ends) - 1, gradients_of_share, weights, features, labels, ends, dtype, expected)
    check_alike(found, "gradient of the {}")


@joined_gradients
@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_those_of_one_process_on_the_joined_batch(run, rng, workers, dtype):
    ends = [4 * rank for rank in range(workers + 1)]
    check_joined(run, *problem(rng, 4 * workers), ends, dtype)


def register_loose_end(network):
    import torch

    network.register_parameter("loose", torch.nn.Parameter(torch.ones(2, 3)))


def add_loose_layer(network):
    import keras

    class Loose(keras.layers.Layer):
        def build(self, shape):
            self.loose = self.add_weight(shape=(2, 3), name="loose")

        def call(self, x):
            return x

    network.add(Loose())


def gradients_of_a_loose_end(worker, weights, features, labels, expected):
    """joined_gradients of a network with a parameter that its output does not depend on."""
    fw, impl = worker.fw, worker.impl
    network = dense_network(fw, weights)
    {"torch": register_loose_end, "tensorflow": add_loose_layer}[fw.name](network)
    loose = [tuple(value.shape) for value in fw.parameters(network).values()].index((2, 3))
    names, right = list(NAMES), in_own_layout(fw, expected)
    names.insert(loose, "parameter that the loss does not depend on")
    right.insert(loose, np.zeros((2, 3)))
    half = slice(worker.rank, None, worker.size)
    _, gradients = impl.joined_gradients(worker.group, network, fw.array(features[half]), fw.array(labels[half]))
    fw.close_all(gradients, right, [f"gradient of the {name}" for name in names])


@joined_gradients
def test_a_parameter_without_influence_has_the_gradient_zero(run, rng):
    weights, features, labels = problem(rng, 6)
    run(2, gradients_of_a_loose_end, weights, features, labels, by_hand(weights, features, labels)[1])


@uneven_batches
@pytest.mark.parametrize(
    "ends", [[0, 5, 6], [0, 0, 3], [0, 4, 7, 8], [0, 1, 1, 1]], ids=["5+1", "0+3", "4+3+1", "1+0+0"]
)
def test_every_sample_counts_alike(run, rng, ends):
    check_joined(run, *problem(rng, ends[-1]), ends)


def descend(weights, batches):
    """Gradient descent in one process: the loss of each batch before its step, and the weights after the last."""
    losses = []
    for features, labels in batches:
        loss, gradients = by_hand(weights, features, labels)
        losses.append(loss)
        weights = [weight - RATE * gradient for weight, gradient in zip(weights, gradients, strict=True)]
    return losses, weights


def check_trained(fw, network, losses, expected):
    """The losses and the weights after training are those of `descend`; returns the weights."""
    found = parameters(fw, network)
    fw.close(fw.array(np.array([float(loss) for loss in losses])), expected[0], of="losses", rtol=1e-4, atol=1e-4)
    right, names = in_own_layout(fw, expected[1]), [f"{name} after training" for name in NAMES]
    fw.close_all(map(fw.array, found), right, names, rtol=1e-4, atol=1e-4)
    return found


def steps(worker, weights, features, labels, ends, expected):
    """A train_step for each list of ends; returns the weights after them."""
    fw, impl, network = worker.fw, worker.impl, dense_network(worker.fw, weights)
    optimizer, losses = fw.sgd(network, RATE), []
    for cuts in ends:
        share = slice(cuts[worker.rank], cuts[worker.rank + 1])
        tensors = fw.array(features[share]), fw.array(labels[share])
        losses.append(impl.train_step(worker.group, network, optimizer, *tensors))
    return check_trained(fw, network, losses, expected)


@training
@pytest.mark.parametrize("workers", [2, 3])
def test_steps_are_those_of_one_process(run, rng, workers):
    weights, features, labels = problem(rng, 9)
    ends = {2: [[0, 4, 8], [1, 5, 9], [3, 8, 9]], 3: [[0, 3, 6, 9], [0, 2, 5, 6], [4, 8, 9, 9]]}[workers]
    expected = descend(weights, [(features[cuts[0] : cuts[-1]], labels[cuts[0] : cuts[-1]]) for cuts in ends])
    check_alike(run(workers, steps, weights, features, labels, ends, expected), "{} after training")


def an_epoch(worker, weights, features, labels, batch, which, expected):
    """train_epoch on all samples; returns the weights after it."""
    fw, impl, network = worker.fw, worker.impl, dense_network(worker.fw, weights)
    samples = fw.array(features), fw.array(labels)
    loss = impl.train_epoch(worker.group, network, fw.sgd(network, RATE), *samples, batch, **which)
    return check_trained(fw, network, [loss], expected)


EPOCHS = [(2, 24, 4), (2, 11, 3), (3, 10, 2), (3, 7, 2), (3, 2, 4)]


@training
@pytest.mark.parametrize(("workers", "count", "batch"), EPOCHS, ids=["even", "odd", "uneven", "idle", "few"])
def test_an_epoch_is_that_of_one_process(run, impl, fw, rng, workers, count, batch):
    weights, features, labels = problem(rng, count)
    which = {"epoch": 2, "seed": 9} if count % 2 else {}
    order = fw.numpy(impl.shard(count, 0, 1, **which))
    joined = [order[start : start + workers * batch] for start in range(0, count, workers * batch)]
    losses, after = descend(weights, [(features[chosen], labels[chosen]) for chosen in joined])
    expected = [np.average(losses, weights=[len(chosen) for chosen in joined])], after
    check_alike(run(workers, an_epoch, weights, features, labels, batch, which, expected), "{} after training")


def collectives(worker, depths):
    """How many collective operations a step of a network of each depth takes."""
    fw, impl, counts = worker.fw, worker.impl, []
    for depth in depths:
        network = dense_network(fw, [np.full(shape, 0.1) for _ in range(depth) for shape in ((3, 3), (3,))])
        batch = fw.array(np.ones((2, 3))), fw.array(np.arange(2))
        names = fw.collectives(impl.train_step, worker.group, network, fw.sgd(network, RATE), *batch)
        counts.append(len(names))
    return counts


@few_collectives
def test_a_deeper_network_takes_no_more_collectives(run):
    for rank, (shallow, deep) in enumerate(run(2, collectives, [1, 6])):
        assert shallow > 0, f"worker {rank} took a step without any collective operation"
        assert deep <= shallow, (
            f"a step of a network with one layer takes {shallow} collective operations, with six layers {deep}: "
            "send all gradients together"
        )


SEEN = 1400  # of the 1797 digits; the last batch of an epoch is uneven


def learn(worker, weights, features, labels, epochs):
    """Train on the first digits; returns the loss of each epoch, and the scores of the digits that took no part."""
    fw, impl, network = worker.fw, worker.impl, dense_network(worker.fw, weights[worker.rank])
    optimizer = fw.sgd(network, 0.3, momentum=0.9)
    seen = fw.array(features[:SEEN]), fw.array(labels[:SEEN])
    impl.broadcast(worker.group, network)
    train = partial(impl.train_epoch, worker.group, network, optimizer, *seen, batch=32)
    losses = [train(epoch=epoch) for epoch in range(epochs)]
    return [float(loss) for loss in losses], fw.call(network, fw.array(features[SEEN:]))


@learning
def test_three_workers_learn_the_digits_together(run, rng):
    """Measured over ten seeds after two epochs: 86 % of the unseen digits at the least."""
    features, labels = data.digits()
    shapes = (64, 32), (32,), (32, 10), (10,)
    starts = [[rng.standard_normal(shape) / shape[0] ** 0.5 for shape in shapes] for _ in range(3)]
    found = run(3, learn, starts, features, labels, 2)
    unseen = labels[SEEN:]
    baseline = np.mean(unseen == np.bincount(labels[:SEEN]).argmax())
    for rank, (losses, scores) in enumerate(found):
        assert losses == found[0][0], f"workers 0 and {rank} report other losses: {found[0][0]} and {losses}"
        accuracy = np.mean(scores.argmax(axis=1) == unseen)
        assert baseline < 0.2 < 0.82 < accuracy, (
            f"worker {rank} knows {accuracy:.0%} of the unseen digits after {len(losses)} epochs; 82 % is asked for, "
            f"and the most frequent digit alone gives {baseline:.0%}"
        )


def lose_a_worker(worker, weights, features, labels, silent):
    """The last worker dies after a step, or never takes one. What do the others find?"""
    fw, impl, network = worker.fw, worker.impl, dense_network(worker.fw, weights)
    optimizer, samples = fw.sgd(network, RATE), (fw.array(features), fw.array(labels))
    is_last = worker.rank == worker.size - 1
    if silent and is_last:
        time.sleep(600)
    if not silent:
        impl.train_step(worker.group, network, optimizer, *samples)
    if is_last:
        os._exit(1)
    before, train = parameters(fw, network), partial(impl.train_epoch, batch=2) if silent else impl.train_step
    try:
        train(worker.group, network, optimizer, *samples)
    except ConnectionError:
        return True, before, parameters(fw, network)
    return False, before, parameters(fw, network)


@lost_worker
@pytest.mark.parametrize(("workers", "silent"), [(2, False), (3, True)], ids=["dead", "silent"])
def test_the_others_stop_in_time_and_keep_their_model(run, rng, workers, silent):
    found = run(workers, lose_a_worker, *problem(rng, 6), silent, lost=workers - 1, timeout=3 if silent else 15)
    what = f"worker {workers - 1} {'fell silent' if silent else 'died'}"
    for rank, (stopped, before, after) in enumerate(found[:-1]):
        assert stopped, f"{what}, and worker {rank} went on without a ConnectionError"
        for actual, expected in zip(after, before, strict=True):
            assert np.array_equal(actual, expected), f"{what} during a step, and worker {rank} still changed its model"
