"""The LSTM cell and its layer over time, in PyTorch.

A plain recurrent network squeezes its memory through a matrix and a tanh at every step, and soon forgets. The long
short-term memory keeps a second state, the carry, which is only scaled and added to. Three gates between 0 and 1
decide what is kept, what is written and what is shown (Hochreiter & Schmidhuber 1997; the forget gate is from Gers et
al. 2000):

    i, f, g, o = σ(a_i), σ(a_f), tanh(a_g), σ(a_o)        where a = x W + h U + b, cut into four blocks
    c' = f · c + i · g
    h' = o · tanh(c')

The four blocks lie side by side in the last axis of every weight, in the order i, f, g, o: input gate, forget gate,
candidate, output gate. torch.nn.LSTM and keras.layers.LSTM keep the same order.

Levels     1 shapes · 2 one step · 3 over time · 4 the forget bias · 5 the order of the gates · 6 gradients ·
           7 large and small inputs · 8 no loops over rows
Off limits torch.nn.LSTM, torch.nn.LSTMCell, torch.lstm, torch.lstm_cell
Check      pytest -k lstm_cell
"""

from torch import Tensor

State = tuple[Tensor, Tensor]  # hidden and carry, each (B, units)
Weights = tuple[Tensor, Tensor, Tensor]  # kernel (D, 4·units), recurrent (units, 4·units), bias (4·units,)


def lstm_cell(x: Tensor, state: State, weights: Weights) -> State:
    """One step in time.

    Args:
        x: (B, D), floating point, in the same dtype as state and weights. B may be zero.
        state: the hidden state and the carry before the step, each (B, units).
        weights: kernel (D, 4·units), recurrent (units, 4·units) and bias (4·units,), blocks in the order i, f, g, o.

    Returns:
        The hidden state and the carry after the step, each (B, units), in the dtype of x. No argument is written to.
        For inputs of thousands the gates saturate and the result is finite.

    Raises:
        ValueError: the shapes do not fit together exactly as above; nothing is broadcast.
    """
    raise NotImplementedError("lstm_cell is yours to write")


def lstm_layer(x: Tensor, weights: Weights, state: State | None = None) -> tuple[Tensor, State]:
    """The cell along a batch of sequences.

    Args:
        x: (B, T, D), floating point; T is at least one.
        weights: as for the cell.
        state: where to start from; None stands for zeros.

    Returns:
        The hidden state after every step (B, T, units), and the state after the last one, so that a long sequence may
        be run in pieces. Everything is in the dtype of x and on its device.
        Many rows or wide ones take as many operations as few; with T the number grows in proportion.
    """
    raise NotImplementedError("lstm_layer is yours to write")


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    """Weights to start training from.

    Kernel and recurrent weights are drawn independently and uniformly between -1/√units and 1/√units, anew at each
    call. The bias is zero, but `forget_bias` for the forget gate: a network that keeps its memory at first can learn
    what to drop, and one that drops it gets no gradient to learn from (Gers et al. 2000; Jozefowicz et al. 2015).

    Args:
        inputs: D, the width of x.
        units: the width of the hidden state.
        forget_bias: what the forget gate's bias starts at.

    Returns:
        kernel (inputs, 4·units), recurrent (units, 4·units), bias (4·units,), float32.
    """
    raise NotImplementedError("initial_weights is yours to write")


def reorder_gates(array: Tensor, order: str) -> Tensor:
    """Bring the blocks of a weight from another library into the order i, f, g, o.

    ONNX, for example, stores "iofg", and the first version of TensorFlow stored "igfo".

    Args:
        array: (..., 4·units), any of the three weights.
        order: the letters i, f, g and o, in the order in which the blocks lie in `array`.

    Returns:
        A tensor of the same shape and dtype, its blocks in the order i, f, g, o.

    Raises:
        ValueError: order is not made of these four letters, each once, or the last axis has no four equal blocks.
    """
    raise NotImplementedError("reorder_gates is yours to write")
