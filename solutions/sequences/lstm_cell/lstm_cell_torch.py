"""The LSTM cell and its layer over time, in PyTorch.

One sum of two products gives all four blocks. The carry is the point: it is scaled by the forget gate and added to,
never multiplied by a matrix, so its gradient survives for as long as the forget gate stays near one. The trap is the
order of the blocks, which no shape reveals: here i, f, g, o.
"""

import torch
from torch import Tensor

State = tuple[Tensor, Tensor]  # hidden and carry, each (B, units)
Weights = tuple[Tensor, Tensor, Tensor]  # kernel (D, 4·units), recurrent (units, 4·units), bias (4·units,)


def lstm_cell(x: Tensor, state: State, weights: Weights) -> State:
    (rows, inputs), units = x.shape, len(weights[1])
    wanted = [(rows, units)] * 2 + [(inputs, 4 * units), (units, 4 * units), (4 * units,)]
    if (shapes := [tuple(tensor.shape) for tensor in (*state, *weights)]) != wanted:
        raise ValueError(f"state and weights have the shapes {shapes}, but x {tuple(x.shape)} needs {wanted}")

    (hidden, carry), (kernel, recurrent, bias) = state, weights
    i, f, g, o = (x @ kernel + hidden @ recurrent + bias).chunk(4, dim=-1)
    carry = f.sigmoid() * carry + i.sigmoid() * g.tanh()
    return o.sigmoid() * carry.tanh(), carry


def lstm_layer(x: Tensor, weights: Weights, state: State | None = None) -> tuple[Tensor, State]:
    if state is None:
        state = (x.new_zeros(len(x), len(weights[1])),) * 2
    outputs = []
    for step in x.unbind(dim=1):
        state = lstm_cell(step, state, weights)
        outputs.append(state[0])
    return torch.stack(outputs, dim=1), state


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    limit = units**-0.5
    kernel = torch.empty(inputs, 4 * units).uniform_(-limit, limit)
    recurrent = torch.empty(units, 4 * units).uniform_(-limit, limit)
    bias = torch.zeros(4 * units)
    bias[units : 2 * units] = forget_bias
    return kernel, recurrent, bias


def reorder_gates(array: Tensor, order: str) -> Tensor:
    if sorted(order) != sorted("ifgo"):
        raise ValueError(f"the order must name i, f, g and o once each, not {order!r}")
    if array.shape[-1] % 4:
        raise ValueError(f"the last axis has {array.shape[-1]} entries, which are not four equal blocks")
    blocks = dict(zip(order, array.chunk(4, dim=-1), strict=True))
    return torch.cat([blocks[gate] for gate in "ifgo"], dim=-1)
