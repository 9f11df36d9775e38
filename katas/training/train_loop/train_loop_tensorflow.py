"""A training loop with validation, in TensorFlow.

Each epoch goes once through the training batches, updating the weights after each, and then once through the
validation batches, updating nothing. Training loss goes on falling when a model begins to learn its training set by
heart; validation loss tells when that begins, so the weights of the epoch in which it was lowest are the ones to keep
(Goodfellow, Bengio and Courville, Deep Learning, sections 5.3 and 7.8).

Levels     1 refusals · 2 the loop · 3 uneven batches · 4 two modes · 5 the best weights · 6 diverged · 7 progress bar ·
           8 real data
Off limits the loops that Keras has: fit, evaluate, train_on_batch, test_on_batch, and its callbacks
Check      pytest -k train_loop
"""

from collections.abc import Callable, Iterable

import keras
from tensorflow import Tensor

Batches = Iterable[tuple[Tensor, Tensor]]  # (inputs, targets), the samples along the first axis of both


def evaluate(model: keras.Model, loss_function: Callable[[Tensor, Tensor], Tensor], batches: Batches) -> float:
    """The mean loss over all samples of the batches, with the model in evaluation mode.

    Nothing is recorded for differentiation, and nothing of the model changes.

    Args:
        model: maps inputs to outputs. Its mode is the argument `training` of the call.
        loss_function: loss_function(targets, outputs) is the mean over the samples of the batch, a tensor without axes.
        batches: gone through once. Batches may differ in size; every sample counts the same.

    Raises:
        ValueError: there is no batch.
    """
    raise NotImplementedError("evaluate is yours to write")


def train(
    model: keras.Model,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    optimizer: keras.optimizers.Optimizer,
    train_batches: Batches,
    val_batches: Batches,
    epochs: int,
    progress: bool = False,
) -> dict:
    """Train for a number of epochs and leave the model with the weights of its best one.

    The best epoch is the first with the lowest validation loss; one that is nan or inf is never the best. The weights
    to restore are all of model.weights, those that are not trainable too. If no epoch is the best, the model keeps its
    last weights.

    With `progress`, one tqdm bar counts the epochs (its total is known from the start), shows train_loss=… and
    val_loss=… of the epoch just done, and stays there when training is over. Without, nothing is printed.

    Args:
        model: in training mode while it trains, in evaluation mode while it is validated.
        loss_function: as in `evaluate`.
        optimizer: not built yet, or built over the model's trainable variables.
        train_batches: gone through once an epoch, in their order. It begins anew each time it is iterated, and need
            not have a length; the same holds for val_batches.
        val_batches: gone through once an epoch, after the training batches.
        epochs: how many.
        progress: show the bar.

    Returns:
        A dictionary. "train_loss": a float for each epoch, the mean over all samples of the losses that the updates
        used. "val_loss": a float for each epoch, the mean over all samples after its updates. "best_epoch": the index
        of the best epoch, counted from 0; None if there is none.

    Raises:
        ValueError: epochs is less than 1, or there is no training batch or no validation batch.
    """
    raise NotImplementedError("train is yours to write")
