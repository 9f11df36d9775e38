"""A network that writes text one character at a time, in PyTorch.

The simplest language model: read a text character by character and say at each position how likely every character is
to come next (Graves 2013; "The unreasonable effectiveness of recurrent neural networks", Karpathy 2015). A plain RNN
keeps what it has read in its hidden state:

    h_t = tanh(x_t W + h_(t-1) U + b)          logits_t = h_t V + c

You turn text into numbers, build and train the network by truncated backpropagation through time, measure its
perplexity, and sample from it. At last it learns English from Python's own documentation, and must beat a table of
pairs of characters on text that it has never seen.

Levels     1 text as numbers · 2 windows · 3 the network · 4 perplexity · 5 training · 6 prediction and sampling ·
           7 one step a character · 8 English
Off limits nothing: use the layers, losses and optimizers of PyTorch
Check      pytest -k char_rnn
"""

from torch import Tensor, nn


class Vocabulary:
    """The characters of a text, numbered.

    Attributes:
        characters: str, the distinct characters, sorted; a character's id is its place in it.
    """

    def __init__(self, text: str):
        """Number the characters of the text."""
        raise NotImplementedError("Vocabulary is yours to write")

    def __len__(self) -> int:
        """How many characters there are."""
        raise NotImplementedError("Vocabulary.__len__ is yours to write")

    def encode(self, text: str) -> Tensor:
        """The ids of the text's characters: integers (length,). An empty text gives an empty tensor of integers.

        Raises:
            ValueError: the text has a character that the vocabulary has not.
        """
        raise NotImplementedError("Vocabulary.encode is yours to write")

    def decode(self, ids: Tensor) -> str:
        """The text of the ids, integers (length,)."""
        raise NotImplementedError("Vocabulary.decode is yours to write")


def one_hot(ids: Tensor, size: int) -> Tensor:
    """A row for each id: zeros, but a one in the place of the id.

    Args:
        ids: integers of any shape, also a single one or none.
        size: the width of a row.

    Returns:
        (*ids.shape, size), float32, on the device of the ids.

    Raises:
        ValueError: an id is negative, or is not less than size.
    """
    raise NotImplementedError("one_hot is yours to write")


def windows(ids: Tensor, batch: int, steps: int) -> tuple[Tensor, Tensor]:
    """Cut a text into windows for training.

    The text is cut into `batch` streams of equal length that follow one another, a row of the batch each. Each stream
    is cut into windows of `steps` characters, so that a row of window k + 1 goes on where it ended in window k. There
    are as many windows as fit; the rest at the end of the text is dropped.

    Args:
        ids: integers (length,).
        batch: how many streams.
        steps: how many characters a window has in each.

    Returns:
        Inputs and targets, each (windows, batch, steps). A target is the character after its input in the text, so
        one character more than windows · batch · steps is needed.

    Raises:
        ValueError: the text is too short for one window.
    """
    raise NotImplementedError("windows is yours to write")


class CharRNN(nn.Module):
    """A plain recurrent network over one-hot characters, and a linear layer on top.

    Attributes:
        recurrent: torch.nn.RNN (or RNNCell), with its tanh and its bias, `units` wide.
        readout: torch.nn.Linear, from the hidden state to the logits, with a bias.
    """

    def __init__(self, size: int, units: int):
        """A network for `size` characters with `units` hidden units, its weights drawn at random."""
        raise NotImplementedError("CharRNN is yours to write")

    def forward(self, x: Tensor, state=None) -> tuple:
        """Read some characters.

        Args:
            x: (B, T, size), one-hot, float32.
            state: what an earlier call returned as its second value; None begins anew, with zeros.

        Returns:
            The logits of the next character at every position (B, T, size), and the state after the last one, in
            whatever form you like: given to the next call, reading goes on from there.
        """
        raise NotImplementedError("CharRNN.forward is yours to write")


def train(
    model: CharRNN, ids: Tensor, updates: int, batch: int = 64, steps: int = 16, learning_rate: float = 0.01
) -> list[float]:
    """Train by truncated backpropagation through time (Williams & Peng 1990).

    Update k learns from window k of `windows(ids, batch, steps)`: Adam at its usual settings (Kingma & Ba 2015) on
    the mean cross-entropy of all its targets. The state at the end of a window is where the next one starts, but
    no gradient flows from one window into the one before. After the last window the text begins anew, from zeros.

    Args:
        model: the network; it is changed in place.
        ids: integers (length,), the text to learn from.
        updates: how many updates to make, a window each.
        batch, steps: the shape of a window.
        learning_rate: Adam's.

    Returns:
        The loss of each update, measured before its change.
    """
    raise NotImplementedError("train is yours to write")


def perplexity(model: CharRNN, ids: Tensor) -> float:
    """Between how many characters the network hesitates, so to speak.

    The exponential of the mean, over all characters of the text but the first, of -ln p(character | all before it).

    Args:
        model: the network, which starts from zeros and reads the text as a whole.
        ids: integers (length,), at least two.
    """
    raise NotImplementedError("perplexity is yours to write")


def predict(model: CharRNN, vocabulary: Vocabulary, prompt: str) -> Tensor:
    """How likely each character is to follow the prompt: (size,), float32, its sum is one.

    Raises:
        ValueError: the prompt is empty.
    """
    raise NotImplementedError("predict is yours to write")


def sample(model: CharRNN, vocabulary: Vocabulary, prompt: str, length: int, temperature: float = 1.0) -> str:
    """Write on after the prompt: draw a character, read it, and so on.

    Each character costs the same: the network reads on by one character and does not begin from the front again.

    Args:
        model: the network.
        vocabulary: its vocabulary.
        prompt: the text before.
        length: how many characters to write; may be zero.
        temperature: the logits are divided by it before the softmax that is drawn from. At zero the likeliest
            character is taken. However small it is, nothing may overflow.

    Returns:
        The new characters, without the prompt.

    Raises:
        ValueError: the prompt is empty, or the temperature is negative.
    """
    raise NotImplementedError("sample is yours to write")
