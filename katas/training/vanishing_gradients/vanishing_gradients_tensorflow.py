"""Where a gradient gets lost, and what brings it back, in TensorFlow.

On its way back through a deep net the gradient is multiplied by one factor a layer. If the factor is below one, little
of it reaches the first layers, and they do not learn; if it is above one, the steps blow up (Hochreiter 1991; Glorot
and Bengio 2010). Build one net that can be had with each of the known remedies, measure the gradient in every layer,
name the layer where it is lost, and train.

Levels     1 the net · 2 the start · 3 gradient norms · 4 the report · 5 remedies measured · 6 learns
Check      pytest -k vanishing_gradients
"""

from collections.abc import Iterable, Sequence

import keras
from tensorflow import Tensor


class DeepNet(keras.Model):
    """A row of hidden layers, all of one width, and a linear head. h is what the layer before hands on, first x:

    plain            h ← f(W h + b)                       f is the sigmoid or the ReLU
    norm             h ← f(norm(W h + b))                 batch norm, before f (Ioffe and Szegedy 2015)
    residual         h ← h + f(W h + b)                   in every hidden layer but the first (He et al. 2015)
    norm, residual   h ← h + f(norm(W h + b))             likewise

    The layers lie in attributes of these names, and are Keras's own:

    hidden   a list of the Dense layers in order. Where a norm follows, the bias may be left out
    norms    a list of the BatchNormalization layers in order, with momentum 0.9; empty without norm
    head     Dense, from the last hidden layer to the logits
    """

    def __init__(
        self,
        in_features: int,
        width: int,
        depth: int,
        classes: int,
        activation: str = "sigmoid",
        norm: bool = False,
        residual: bool = False,
        gain: float | None = None,
    ):
        """Make the layers and draw their weights.

        The weights of a layer with n inputs are drawn with mean 0 and standard deviation gain / √n, those of the head
        with 1 / √n. All biases start at 0.

        Args:
            in_features: the width of x.
            width: of every hidden layer.
            depth: how many hidden layers.
            classes: how many logits.
            activation: "sigmoid" or "relu".
            norm: whether every hidden layer has a batch norm.
            residual: whether every hidden layer but the first adds to its input.
            gain: how much stronger the weights of hidden layers are than 1 / √n. By default 1 for the sigmoid (for
                layers as wide as their input this is Glorot's rule), and for the ReLU what He's rule says (He et al.
                2015, "Delving deep into rectifiers"): as it sets half of its inputs to 0, the variance is 2 / n.

        Raises:
            ValueError: another activation, or a depth below 1.
        """
        raise NotImplementedError("DeepNet.__init__ is yours to write")

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """The logits.

        Args:
            x: (batch, in_features), float32.
            training: whether the norms use the statistics of the batch, and update those they keep.

        Returns:
            (batch, classes).
        """
        raise NotImplementedError("DeepNet.call is yours to write")


def gradient_norms(model: DeepNet, x: Tensor, labels: Tensor) -> list[float]:
    """How large the gradient is in each hidden layer.

    The loss is the mean cross-entropy over the batch, computed from logits so that large ones do no harm, with the
    model in training mode. To measure is not to train: afterwards the model is as it was, its weights and its
    running statistics.

    Args:
        model: a DeepNet that has been called before.
        x: (batch, in_features).
        labels: (batch,), int64, the right classes.

    Returns:
        For every hidden layer, the first one first, the Euclidean norm of the gradient of its weight matrix (the root
        of the sum of all squared entries), as a float.
    """
    raise NotImplementedError("gradient_norms is yours to write")


def report(norms: Sequence[float], factor: float = 1000.0) -> tuple[str, int | None]:
    """Name the layer where the gradient is lost.

    The gradient travels from the last layer to the first, so look at the layers in that order, and compare each with
    the last. The report names the first layer on the way that is out of bounds:

    "vanishing"   its norm is less than the last one's divided by `factor`, or it is 0
    "exploding"   its norm is more than the last one's times `factor`, or it is not finite

    The last layer itself is out of bounds where it is 0 or not finite.

    Args:
        norms: what `gradient_norms` returns.
        factor: how far a norm may be from the last one.

    Returns:
        The verdict and the index of the layer, counted from 0 at the first hidden layer; ("healthy", None) if none is
        out of bounds.

    Raises:
        ValueError: there are no norms, or the factor is not above 1.
    """
    raise NotImplementedError("report is yours to write")


def train(model: DeepNet, batches: Iterable[tuple[Tensor, Tensor]], learning_rate: float) -> list[float]:
    """Plain gradient descent on the mean cross-entropy: one step for every batch, in training mode.

    Every parameter moves by −learning_rate times its gradient on that batch alone.

    Args:
        model: a DeepNet that has been called before.
        batches: pairs (x, labels) as in `gradient_norms`, gone through once.
        learning_rate: the size of the steps.

    Returns:
        The loss of each batch, as it was before its step, as floats.
    """
    raise NotImplementedError("train is yours to write")
