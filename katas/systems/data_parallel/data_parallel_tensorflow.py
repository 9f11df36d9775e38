"""Data-parallel training over real processes, in TensorFlow.

Every worker process holds the whole model and a part of each batch. After each batch the workers add up their
gradients with an all-reduce and all take the same step, so their models stay equal without ever being sent again
(Li et al. 2020, "PyTorch Distributed"). Done right, the result is that of one process on the joined batch, also where
the batch does not divide evenly. The models here have no dropout and learn from no statistics of a batch.

All workers call each function below, except `shard`, at the same time: a worker that stays away makes the others wait.

Levels     1 shards · 2 the same start · 3 joined gradients · 4 uneven batches · 5 training · 6 few collectives ·
           7 learning · 8 a lost worker
Check      pytest -k data_parallel
"""

import keras
import tensorflow as tf
from tensorflow import Tensor


def shard(count: int, rank: int, workers: int, epoch: int = 0, seed: int = 0) -> Tensor:
    """The samples of one worker in one epoch.

    The samples 0 to count - 1 are put in a random order, the same on every worker, drawn anew for each epoch and each
    seed. The workers take turns in it: position p goes to worker p % workers. Nothing is padded or left out, so shards
    may differ in length by one, and may be empty.

    Args:
        count: how many samples there are; may be 0.
        rank: which worker, from 0.
        workers: how many workers there are.
        epoch, seed: non-negative; with `count` they alone decide the order. The framework's global random state
            neither matters nor changes: it differs between the workers.

    Returns:
        The indices of the worker's samples, int64, in its order.

    Raises:
        ValueError: there is no such worker.
    """
    raise NotImplementedError("shard is yours to write")


def join(rank: int, addresses: list[str], timeout: float) -> tf.distribute.Strategy:
    """Join the group of workers, once in the life of a process. Other processes do the same with their rank.

    Args:
        rank: this worker, from 0.
        addresses: "host:port" of each worker in the order of ranks; free for use by the group. TensorFlow
            reads them from the environment variable TF_CONFIG.
        timeout: seconds that a worker waits for the others in a collective operation.

    Returns:
        A tf.distribute.MultiWorkerMirroredStrategy. The models are made outside its scope: plain variables.
    """
    raise NotImplementedError("join is yours to write")


def broadcast(group: tf.distribute.Strategy, model: keras.Model) -> None:
    """Give every worker the model of worker 0.

    Every variable, trainable or not, of worker 0 is written into the same place on the other workers. What those
    held before, which may be nan, is lost. On worker 0 nothing changes.
    """
    raise NotImplementedError("broadcast is yours to write")


def joined_gradients(
    group: tf.distribute.Strategy, model: keras.Model, features: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients of the joined batch, which is the samples of all workers together.

    The loss is the softmax cross-entropy, averaged over the joined batch: every sample counts alike, however unevenly
    the workers share them. Some workers may have no sample (not all of them).

    Args:
        group: what `join` returned.
        model: maps features to logits.
        features: (samples of this worker, inputs), floating point, in the dtype of the model.
        labels: (samples of this worker,), int64, the class of each.

    Returns:
        The loss, a scalar, and a gradient for each parameter in the order of model.trainable_variables, in
        the parameter's shape; zeros where the loss does not depend on it. The same on all workers.

    The number of collective operations does not grow with the number of parameters.

    Raises:
        ConnectionError: another worker has died, or did not take part within the group's timeout.
    """
    raise NotImplementedError("joined_gradients is yours to write")


def train_step(
    group: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    features: Tensor,
    labels: Tensor,
) -> float:
    """One step of the optimiser with the gradients of the joined batch, the same step on all workers.

    What holds for `joined_gradients` holds here too: uneven shares, the number of collective operations, and the
    ConnectionError, which leaves the model as it was.

    Returns:
        The loss of the joined batch before the step, the same on all workers.
    """
    raise NotImplementedError("train_step is yours to write")


def train_epoch(
    group: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    features: Tensor,
    labels: Tensor,
    batch: int,
    epoch: int = 0,
    seed: int = 0,
) -> float:
    """Train on every sample once.

    In each step every worker takes the next `batch` samples of its own shard, or as many as it has left, which may be
    none: all workers take the same number of steps.

    Args:
        features, labels: all samples, at least one, the same on every worker.
        batch: samples per worker and step; a joined batch has `workers` times as many.
        epoch, seed: as for `shard`.

    Returns:
        The mean over all samples of the epoch of their loss at the time of their step, the same on all workers.

    Raises:
        ConnectionError: another worker has died, or did not take part within the group's timeout.
    """
    raise NotImplementedError("train_epoch is yours to write")
