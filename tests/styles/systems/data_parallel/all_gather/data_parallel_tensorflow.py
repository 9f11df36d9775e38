"""Every worker gathers what all of them have, and adds up the parts itself: no all-reduce at all."""

import json
import os

import keras
import tensorflow as tf
from keras import ops
from tensorflow import Tensor


def shard(count: int, rank: int, workers: int, epoch: int = 0, seed: int = 0) -> Tensor:
    if rank not in range(workers):
        raise ValueError(f"rank {rank} of {workers}")
    keys = tf.random.stateless_uniform([count], seed=[seed, epoch])
    return tf.cast(tf.argsort(keys), tf.int64)[rank::workers]


def join(rank: int, addresses: list[str], timeout: float) -> tf.distribute.Strategy:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}), task_type="worker", task_id=rank, rpc_layer="grpc"
    )
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
    return tf.distribute.MultiWorkerMirroredStrategy(resolver, options)


def _gather(group: tf.distribute.Strategy, row: Tensor) -> Tensor:
    """(workers, length) from a row of each."""

    def on_each(value):
        return tf.distribute.get_replica_context().all_gather(value, axis=0)

    return group.run(on_each, args=(row[None],))


def broadcast(group: tf.distribute.Strategy, model: keras.Model) -> None:
    for variable in model.variables:
        rows = _gather(group, tf.reshape(variable.value, [-1]))
        variable.assign(tf.reshape(rows[0], variable.shape))


def joined_gradients(
    group: tf.distribute.Strategy, model: keras.Model, features: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        scores = model(features)
        chosen = ops.sum(scores * tf.one_hot(labels, scores.shape[-1], dtype=scores.dtype), axis=-1)
        loss = ops.sum(ops.logsumexp(scores, axis=-1) - chosen)
    gradients = tape.gradient(loss, variables)
    gradients = [tf.zeros_like(v) if g is None else g for g, v in zip(gradients, variables, strict=True)]
    count = tf.cast(tf.shape(labels)[0], loss.dtype)
    own = tf.concat([tf.stack([count, loss]), *(tf.reshape(gradient, [-1]) for gradient in gradients)], axis=0)
    try:
        total = tf.reduce_sum(_gather(group, own), axis=0)
    except tf.errors.OpError as error:
        raise ConnectionError(str(error)) from error
    mean, start, parts = total[1:] / total[0], 1, []
    for gradient in gradients:
        size = gradient.shape.num_elements()
        parts.append(tf.reshape(mean[start : start + size], gradient.shape))
        start += size
    return mean[0], parts


def train_step(
    group: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    features: Tensor,
    labels: Tensor,
) -> float:
    loss, gradients = joined_gradients(group, model, features, labels)
    optimizer.apply(gradients, model.trainable_variables)
    return loss.numpy().item()


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
    workers, count = group.num_replicas_in_sync, int(features.shape[0])
    mine = shard(count, group.cluster_resolver.task_id, workers, epoch, seed)
    steps = -(-count // (workers * batch))
    sizes = [min(workers * batch, count - step * workers * batch) for step in range(steps)]
    losses = []
    for step in range(steps):
        rows = mine[step * batch : step * batch + batch]
        losses.append(train_step(group, model, optimizer, features.numpy()[rows], labels.numpy()[rows]))
    return sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / count
