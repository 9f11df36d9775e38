"""A training step of one's own, in TensorFlow.

One step turns a batch into one update: forward and loss on a GradientTape, gradients, optimizer. Whoever writes it can
put anything between the lines (clipping, several losses, two optimizers); whoever writes it wrongly applies gradients
twice, runs the model again for the sake of a metric, or traces anew for every batch. tf.function runs the Python code
of a step once, to record a graph, and then only the graph, so what should happen at every batch must be TensorFlow's
own operations on TensorFlow's own variables (Chollet, Writing a training loop from scratch in TensorFlow).

Levels     1 refusals · 2 one update · 3 many updates · 4 metrics · 5 no work twice · 6 frozen and unused weights ·
           7 digits
Off limits keras.Model.fit, keras.Model.train_on_batch, keras.Model.evaluate, keras.Model.test_on_batch
Check      pytest -k custom_train_step
"""

from collections.abc import Callable

from tensorflow import Tensor, keras


class TrainStep:
    """One update of a classifier per call, and its loss and accuracy since the last reset."""

    def __init__(
        self,
        model: keras.Model,
        loss_function: Callable[[Tensor, Tensor], Tensor],
        optimizer: keras.optimizers.Optimizer,
    ):
        """Remember what a step needs. Nothing has been counted yet.

        Args:
            model: maps inputs (B, …) to logits (B, classes); it is built. It may hold weights that are frozen or that
                the outputs do not depend on; neither may change, and neither is an error.
            loss_function: loss_function(targets, outputs) is the mean over the samples, a tensor without axes.
            optimizer: of the model's trainable weights; it may not be built yet.
        """
        raise NotImplementedError("TrainStep is yours to write")

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Update the weights once, by the gradients of this batch alone, with the model in training mode.

        The model runs once a batch, and the Python code of the step is traced by tf.function: however many batches
        come, and of however many sizes, it runs three times at most (TensorFlow itself may need two traces for the
        first batch, and a third for a second size). Two TrainSteps may live side by side.

        Args:
            inputs: (B, …), B at least one; batches may differ in size.
            targets: (B,), integers, the right classes.

        Returns:
            The loss of the batch before its update, a tensor without axes.

        Raises:
            ValueError: there are not as many targets as inputs.
        """
        raise NotImplementedError("TrainStep.__call__ is yours to write")

    def results(self) -> dict[str, float]:
        """The figures since the last reset; asking does not change them.

        Returns:
            "loss": the mean loss and "accuracy": the share of samples whose largest logit is the right one, both over
            all samples, every sample counting the same, from the outputs that the updates used. Python's own floats.

        Raises:
            ValueError: there was no batch since the last reset.
        """
        raise NotImplementedError("results is yours to write")

    def reset(self) -> None:
        """Forget the figures, as at the beginning of an epoch; model and optimizer stay as they are."""
        raise NotImplementedError("reset is yours to write")
