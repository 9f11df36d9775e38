"""Data-parallel training, in TensorFlow, over tf.distribute.MultiWorkerMirroredStrategy.

Every worker sums the loss over its own samples; one all-reduce adds up the gradients of those sums, the losses and the
sample counts; one division makes means of them. That is exact for any split. The trap is to average the workers' means:
it weighs a sample more the fewer its worker has, and a worker without samples has no mean at all.

Nothing is traced here: the all-reduce inside a tf.function runs where the graph runs, and the error of a lost worker
would pass by the `except` that tells it.
"""

import json
import math
import os

import keras
import tensorflow as tf
from tensorflow import Tensor


def shard(count: int, rank: int, workers: int, epoch: int = 0, seed: int = 0) -> Tensor:
    if not 0 <= rank < workers:
        raise ValueError(f"there is no worker {rank} among {workers}")
    order = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), seed=(seed, epoch))
    return order[rank::workers]


def join(rank: int, addresses: list[str], timeout: float) -> tf.distribute.Strategy:
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def broadcast(group: tf.distribute.Strategy, model: keras.Model) -> None:
    is_first = group.cluster_resolver.task_id == 0
    for variable in model.variables:
        (value,) = _add_up(group, [variable.value if is_first else tf.zeros_like(variable)])
        variable.assign(value)


def joined_gradients(
    group: tf.distribute.Strategy, model: keras.Model, features: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=model(features))
        loss = tf.reduce_sum(losses)
    variables = [variable.value for variable in model.trainable_variables]
    gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    *sums, loss, count = _add_up(group, [*gradients, loss, tf.cast(len(labels), loss.dtype)])
    return loss / count, [gradient / count for gradient in sums]


def _add_up(group: tf.distribute.Strategy, tensors: list[Tensor]) -> list[Tensor]:
    """The sum over all workers of each tensor, with one all-reduce for all of them."""

    def on_each_worker(own):
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

    flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
    try:
        flat = group.run(on_each_worker, args=(flat,))
    except tf.errors.OpError as error:
        raise ConnectionError(f"a worker is lost: {error.message}") from error
    parts = tf.split(flat, [tf.size(tensor) for tensor in tensors])
    return [tf.reshape(part, tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def train_step(
    group: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    features: Tensor,
    labels: Tensor,
) -> float:
    loss, gradients = joined_gradients(group, model, features, labels)
    optimizer.apply(gradients, model.trainable_variables)
    return float(loss)


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
    count, workers = len(labels), group.num_replicas_in_sync
    mine = shard(count, group.cluster_resolver.task_id, workers, epoch, seed)
    total = 0.0
    for step in range(math.ceil(count / (workers * batch))):
        chosen = mine[step * batch : (step + 1) * batch]
        joined = min(workers * batch, count - step * workers * batch)
        total += joined * train_step(group, model, optimizer, tf.gather(features, chosen), tf.gather(labels, chosen))
    return total / count
