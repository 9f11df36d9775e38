"""A training step of one's own, in PyTorch.

One step turns a batch into one update: gradients to zero, forward, loss, backward, optimizer. Whoever writes it can
put anything between the lines (clipping, several losses, two optimizers); whoever writes it wrongly trains on added-up
gradients, runs the model twice for the sake of a metric, or holds up the device at every batch by reading a number
from it. The twin of this kata in TensorFlow is GradientTape under tf.function (Chollet, Writing a training loop from
scratch in TensorFlow).

Levels     1 refusals · 2 one update · 3 many updates · 4 metrics · 5 no work twice · 6 frozen and unused weights ·
           7 digits
Check      pytest -k custom_train_step
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.optim import Optimizer


class TrainStep:
    """One update of a classifier per call, and its loss and accuracy since the last reset."""

    def __init__(self, model: nn.Module, loss_function: Callable[[Tensor, Tensor], Tensor], optimizer: Optimizer):
        """Remember what a step needs. Nothing has been counted yet.

        Args:
            model: maps inputs (B, …) to logits (B, classes). It may hold parameters that are frozen or that the
                outputs do not depend on; neither may change, and neither is an error.
            loss_function: loss_function(outputs, targets) is the mean over the samples, a tensor without axes.
            optimizer: over the model's parameters.
        """
        raise NotImplementedError("TrainStep is yours to write")

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Update the weights once, by the gradients of this batch alone, with the model in training mode.

        The model runs once a batch. What results() will say is gathered on the device: nothing is read back into
        Python here (no item, tolist, numpy or float), so that the processor can prepare the next batch meanwhile.

        Args:
            inputs: (B, …), B at least one; batches may differ in size.
            targets: (B,), integers, the right classes.

        Returns:
            The loss of the batch before its update, a tensor without axes and without a graph.

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
