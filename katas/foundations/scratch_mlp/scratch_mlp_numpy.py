"""A neural network from scratch, in NumPy.

The whole classifier on one page: an input, one hidden layer of ReLU units, a softmax output, backpropagation and
training in mini-batches (Rumelhart, Hinton and Williams 1986; Goodfellow et al. 2016, chapters 6 and 8):

    h = max(0, x W₁ + b₁)        log p = log softmax(h W₂ + b₂)        loss = mean of −log p(label)

No library differentiates for you: the gradients are yours, and finite differences judge them. Only `train` may loop,
over epochs and batches, never over examples. At the end 64 hidden units must name unseen handwritten digits, and tell
odd ones from even ones, at least 95 % right. `forward` returns log p, because p may be too small to be stored.

Levels     1 a new network · 2 forward · 3 loss · 4 gradients · 5 large logits · 6 mini-batches
           7 no loop over examples · 8 real digits
Off limits torch, tensorflow, keras, sklearn.neural_network.MLPClassifier
Check      pytest -k scratch_mlp
"""

import numpy as np

# The network is its four arrays, float64, by name:
#   "hidden_weight" (inputs, hidden)     "hidden_bias" (hidden,)
#   "output_weight" (hidden, classes)    "output_bias" (classes,)
Parameters = dict[str, np.ndarray]


def initial_parameters(inputs: int, hidden: int, classes: int, rng: np.random.Generator) -> Parameters:
    """A new network.

    Args:
        inputs, hidden, classes: the widths of the three layers.
        rng: the only source of randomness: the same state gives the same network.

    Returns:
        The four arrays. Biases are zero. The entries of a weight are independent random numbers with mean 0 and
        variance 2 / (its number of rows), so that signals keep their size through ReLU layers (He et al. 2015).
    """
    raise NotImplementedError("initial_parameters is yours to write")


def forward(parameters: Parameters, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From a batch of examples to the logarithms of the class probabilities.

    Args:
        parameters: the network; not written to.
        x: (batch, inputs), float64; not written to.

    Returns:
        The hidden layer after the ReLU (batch, hidden), and the log-probabilities (batch, classes).

    Raises:
        ValueError: x has another width than the network's input.
    """
    raise NotImplementedError("forward is yours to write")


def loss(parameters: Parameters, x: np.ndarray, labels: np.ndarray) -> float:
    """The cross-entropy: minus the log-probability of the right class, in nats, averaged over the batch.

    Args:
        parameters, x: as for forward.
        labels: (batch,), integers: the right class of each example, counted from 0.

    Returns:
        One number, finite also for logits of 1e4 and more.

    Raises:
        ValueError: labels has another shape than (batch,), or a label is not one of the classes.
    """
    raise NotImplementedError("loss is yours to write")


def gradients(parameters: Parameters, x: np.ndarray, labels: np.ndarray) -> Parameters:
    """The gradient of the loss with respect to each of the four arrays: backpropagation.

    Args:
        parameters, x, labels: as for loss; none is written to.

    Returns:
        A dictionary with the names and shapes of the parameters. Finite also for logits of 1e4 and more.

    Raises:
        ValueError: as for loss.
    """
    raise NotImplementedError("gradients is yours to write")


def train(
    parameters: Parameters,
    x: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> list[float]:
    """Mini-batch gradient descent.

    At the start of each epoch `order = rng.permutation(len(x))` is drawn, and nothing else ever. The batches are
    consecutive pieces of that order, `batch_size` long; the last one may be shorter, and is used too. For each batch,
    all four arrays take a step of learning_rate times their gradient of the loss of that batch.

    Args:
        parameters: the network to train. Afterwards this dictionary holds the trained arrays.
        x, labels: the whole training set, as for loss; not written to.
        epochs, batch_size, learning_rate: positive.
        rng: draws the order of the examples.

    Returns:
        The loss on the whole training set after each epoch.
    """
    raise NotImplementedError("train is yours to write")


def predict(parameters: Parameters, x: np.ndarray) -> np.ndarray:
    """The most probable class of each example: (batch,), integers."""
    raise NotImplementedError("predict is yours to write")
