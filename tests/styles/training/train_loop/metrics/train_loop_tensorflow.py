"""The loop run eagerly, with keras.metrics.Mean weighted by the size of each batch."""

import keras
import numpy as np
import tensorflow as tf
from tqdm.auto import trange


def evaluate(model, loss_function, batches):
    metric, seen = keras.metrics.Mean(dtype="float64"), False
    for inputs, targets in batches:
        seen = True
        value = loss_function(targets, model(inputs, training=False))
        metric.update_state(value, sample_weight=inputs.shape[0])
    if not seen:
        raise ValueError("no samples: the batches are empty")
    return float(metric.result())


def train(model, loss_function, optimizer, train_batches, val_batches, epochs, progress=False):
    if epochs <= 0:
        raise ValueError("train for at least one epoch")
    history = {"train_loss": [], "val_loss": []}
    best_epoch, snapshot = None, []
    metric = keras.metrics.Mean(dtype="float64")
    with trange(epochs, disable=not progress) as bar:
        for epoch in bar:
            metric.reset_state()
            steps = 0
            for inputs, targets in train_batches:
                with tf.GradientTape() as tape:
                    value = loss_function(targets, model(inputs, training=True))
                variables = model.trainable_variables
                optimizer.apply(tape.gradient(value, variables), variables)
                metric.update_state(value, sample_weight=inputs.shape[0])
                steps += 1
            if steps == 0:
                raise ValueError("no samples: the training batches are empty")
            history["train_loss"].append(float(metric.result()))
            history["val_loss"].append(evaluate(model, loss_function, val_batches))
            bar.set_postfix({name: values[-1] for name, values in history.items()})
            values = np.array(history["val_loss"])
            usable = np.where(np.isfinite(values), values, np.inf)
            if np.isfinite(values[-1]) and np.argmin(usable) == epoch:
                best_epoch, snapshot = epoch, [tf.identity(variable) for variable in model.weights]
    for variable, value in zip(model.weights, snapshot, strict=False):
        variable.assign(value)
    return history | {"best_epoch": best_epoch}
