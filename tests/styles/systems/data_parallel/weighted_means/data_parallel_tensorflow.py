"""Every worker scales the mean of its samples by their share; all of it is traced once, for batches of any size."""

import json
import os
import weakref

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

_SUM = tf.distribute.ReduceOp.SUM


def shard(count: int, rank: int, workers: int, epoch: int = 0, seed: int = 0) -> Tensor:
    if rank < 0 or rank >= workers:
        raise ValueError(f"rank {rank} of {workers}")
    order = np.random.default_rng((epoch, seed)).permutation(count)
    return tf.constant(order[np.arange(count) % workers == rank], tf.int64)


def join(rank: int, addresses: list[str], timeout: float) -> tf.distribute.Strategy:
    os.environ["TF_CONFIG"] = json.dumps({"task": {"index": rank, "type": "worker"}, "cluster": {"worker": addresses}})
    return tf.distribute.MultiWorkerMirroredStrategy(
        cluster_resolver=tf.distribute.cluster_resolver.TFConfigClusterResolver(),
        communication_options=tf.distribute.experimental.CommunicationOptions(
            timeout_seconds=timeout, implementation=tf.distribute.experimental.CommunicationImplementation.RING
        ),
    )


def broadcast(group: tf.distribute.Strategy, model: keras.Model) -> None:
    first = group.cluster_resolver.task_id == 0
    model.set_weights([_total(group, array if first else np.zeros_like(array)) for array in model.get_weights()])


def _total(group: tf.distribute.Strategy, array: np.ndarray) -> np.ndarray:
    def reduce(value):
        return tf.distribute.get_replica_context().all_reduce(_SUM, value)

    return group.run(reduce, args=(tf.constant(array),)).numpy()


_traced = weakref.WeakKeyDictionary()


def _program(group: tf.distribute.Strategy, model: keras.Model, dtype: tf.DType):
    """One graph for each model: the shapes in its signature are open, so that no worker traces it anew."""
    if model not in _traced:
        variables = [variable.value for variable in model.trainable_variables]

        def on_worker(features, labels):
            context = tf.distribute.get_replica_context()
            own = tf.cast(tf.size(labels), dtype)
            share = own / context.all_reduce(_SUM, own)
            with tf.GradientTape() as tape:
                log_p = tf.nn.log_softmax(model(features))
                right = tf.gather(log_p, labels, batch_dims=1)
                loss = -tf.math.divide_no_nan(tf.reduce_sum(right), own) * share
            gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
            flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in (loss, *gradients)], 0)
            return context.all_reduce(_SUM, flat)

        inputs = model.input_shape[-1]
        signature = [tf.TensorSpec([None, inputs], dtype), tf.TensorSpec([None], tf.int64)]
        _traced[model] = tf.function(
            lambda features, labels: group.run(on_worker, args=(features, labels)), input_signature=signature
        )
    return _traced[model]


def joined_gradients(
    group: tf.distribute.Strategy, model: keras.Model, features: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    try:
        flat = _program(group, model, features.dtype)(features, labels)
    except (tf.errors.UnavailableError, tf.errors.DeadlineExceededError, tf.errors.AbortedError) as error:
        raise ConnectionError("a worker does not answer") from error
    shapes = [variable.shape for variable in model.trainable_variables]
    loss, *parts = tf.split(flat, [1, *(int(np.prod(shape)) for shape in shapes)])
    return loss[0], [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]


def train_step(
    group: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    features: Tensor,
    labels: Tensor,
) -> float:
    loss, gradients = joined_gradients(group, model, features, labels)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
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
    rank, workers = group.cluster_resolver.task_id, group.num_replicas_in_sync
    order = shard(len(labels), 0, 1, epoch, seed)
    weighted = 0.0
    for start in range(0, len(labels), batch * workers):
        joined = order[start : start + batch * workers]
        own = joined[rank::workers]
        loss = train_step(group, model, optimizer, tf.gather(features, own), tf.gather(labels, own))
        weighted += loss * len(joined)
    return weighted / len(labels)
