"""A first network, in PyTorch.

The classifier that every interview begins with: two hidden layers with ReLU, dropout, and a score for each class. Then
the two functions that every project has, one step and a fit, and the number that tells whether it worked. Much of what
goes wrong in practice goes wrong here: a softmax too many, old gradients, the wrong mode, a last batch that counts too
much (Goodfellow, Bengio and Courville, "Deep Learning", chapters 6 and 8).

    scores = last(drop(relu(second(relu(first(features))))))

Levels     1 layers and shapes · 2 scores · 3 two modes · 4 one step · 5 a fit · 6 accuracy · 7 real digits
Check      pytest -k first_network
"""

from torch import Tensor, nn
from torch.optim import Optimizer


class Network(nn.Module):
    """A classifier of feature vectors with two hidden layers of equal width.

    Its layers are its attributes `first`, `second` and `last`, each an nn.Linear, and `drop`, an nn.Dropout,
    which acts between the second hidden layer and `last`. It has no other parameters to train.
    """

    def __init__(self, inputs: int, hidden: int, classes: int, rate: float = 0.2):
        """Make the layers.

        Args:
            inputs: features of a sample.
            hidden: units in each of the two hidden layers.
            classes: scores to give.
            rate: probability that dropout zeroes a unit in training, 0 ≤ rate < 1.

        Raises:
            ValueError: a size is less than one, or the rate is outside its range.
        """
        raise NotImplementedError("Network.__init__ is yours to write")

    def forward(self, features: Tensor) -> Tensor:
        """Score each class for each sample.

        Args:
            features: (batch, inputs), float32.

        Returns:
            The scores (batch, classes), float32: logits, so no softmax.

        Raises:
            ValueError: the features have another shape than (batch, inputs).
        """
        raise NotImplementedError("Network.forward is yours to write")


def train_step(model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor) -> float:
    """Take one step of the optimiser down the gradient of the loss.

    The loss is the softmax cross-entropy of the model's scores, averaged over the batch. Units are dropped in it,
    whatever mode the model was used in before. The loss is finite however large the scores are.

    Args:
        model: a Network.
        optimizer: holds the model's parameters. It may hold gradients of before.
        features: (batch, inputs), float32.
        labels: (batch,), int64, the class of each sample.

    Returns:
        The loss before the step, a Python float.
    """
    raise NotImplementedError("train_step is yours to write")


def fit(
    model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor, epochs: int, batch: int = 32
) -> list[float]:
    """Train for some epochs. An epoch takes all samples once, in a random order, in batches, with a step for each.

    Args:
        model, optimizer: as for `train_step`.
        features: (samples, inputs), float32; at least one sample; not written to.
        labels: (samples,), int64; not written to.
        epochs: how many times to go through all samples.
        batch: samples of a batch; the last one of an epoch may have fewer.

    Returns:
        For each epoch the mean over its samples of their loss, as it was before the step that they were in.
    """
    raise NotImplementedError("fit is yours to write")


def accuracy(model: nn.Module, features: Tensor, labels: Tensor) -> float:
    """The share of samples whose label has the highest score. No units are dropped, and nothing changes in the weights.

    All samples pass through the model at once.

    Args:
        features: (samples, inputs), float32; at least one sample.
        labels: (samples,), int64.

    Returns:
        A Python float from 0 to 1.
    """
    raise NotImplementedError("accuracy is yours to write")
