"""A training loop with validation, in TensorFlow.

The loss of a batch is a mean already, so it counts as often as the batch has samples; the last batch is usually
smaller. Only the update is traced, once for all epochs; `reduce_retracing` keeps the smaller batch from costing a
trace at every size. The mode is an argument of the call, and get_weights copies all weights, trainable or not.
"""

import math
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf
from tensorflow import Tensor
from tqdm import tqdm

Batches = Iterable[tuple[Tensor, Tensor]]  # (inputs, targets), the samples along the first axis of both


def evaluate(model: keras.Model, loss_function: Callable[[Tensor, Tensor], Tensor], batches: Batches) -> float:
    return _mean((loss_function(targets, model(inputs, training=False)), len(targets)) for inputs, targets in batches)


def train(
    model: keras.Model,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    optimizer: keras.optimizers.Optimizer,
    train_batches: Batches,
    val_batches: Batches,
    epochs: int,
    progress: bool = False,
) -> dict:
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}: at least one is needed")

    @tf.function(reduce_retracing=True)
    def update(inputs: Tensor, targets: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            loss = loss_function(targets, model(inputs, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    history, lowest, best = {"train_loss": [], "val_loss": [], "best_epoch": None}, math.inf, None
    bar = tqdm(range(epochs), disable=not progress)
    for epoch in bar:
        train_loss = _mean((update(inputs, targets), len(targets)) for inputs, targets in train_batches)
        val_loss = evaluate(model, loss_function, val_batches)
        history["train_loss"].append(train_loss)
        history["val_loss"].append(val_loss)
        if val_loss < lowest:
            lowest, best, history["best_epoch"] = val_loss, model.get_weights(), epoch
        bar.set_postfix(train_loss=train_loss, val_loss=val_loss)
    if best is not None:
        model.set_weights(best)
    return history


def _mean(parts: Iterable[tuple[Tensor, int]]) -> float:
    """The mean over all samples, from the mean of each batch and its size."""
    total, count = 0.0, 0
    for loss, size in parts:
        total += float(loss) * size
        count += size
    if not count:
        raise ValueError("there is no batch")
    return total / count
