"""A training step of one's own, in TensorFlow.

The tape is open for the forward pass and the loss only; gradients and update are taken after it. All of it is traced:
Python runs once, and every later batch runs the graph. That is the trap: what Python computes, such as a sum in an
attribute, happens once, at the trace, so the figures must live in variables, as Keras' metrics do. `reduce_retracing`
leaves the number of samples open as soon as a second size comes.
"""

from collections.abc import Callable

import tensorflow as tf
from tensorflow import Tensor, keras


class TrainStep:
    def __init__(
        self,
        model: keras.Model,
        loss_function: Callable[[Tensor, Tensor], Tensor],
        optimizer: keras.optimizers.Optimizer,
    ):
        self.model, self.loss_function, self.optimizer = model, loss_function, optimizer
        self._metrics = {"loss": keras.metrics.Mean(), "accuracy": keras.metrics.SparseCategoricalAccuracy()}

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        if len(inputs) != len(targets):
            raise ValueError(f"{len(inputs)} inputs, but {len(targets)} targets")
        return self._update(inputs, targets)

    @tf.function(reduce_retracing=True)
    def _update(self, inputs: Tensor, targets: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
            loss = self.loss_function(targets, outputs)
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

        self._metrics["loss"].update_state(loss, sample_weight=tf.shape(targets)[0])
        self._metrics["accuracy"].update_state(targets, outputs)
        return loss

    def results(self) -> dict[str, float]:
        if self._metrics["loss"].count == 0:
            raise ValueError("no batch since the last reset")
        return {name: float(metric.result()) for name, metric in self._metrics.items()}

    def reset(self) -> None:
        for metric in self._metrics.values():
            metric.reset_state()
