"""Another right way: one product for the inputs of all steps before the loop, slices for the gates, modules' calls."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
Weights = tuple[Tensor, Tensor, Tensor]


def advance(from_input: Tensor, state: State, recurrent: Tensor) -> State:
    hidden, carry = state
    units = hidden.size(-1)
    total = torch.addmm(from_input, hidden, recurrent)
    gates = torch.sigmoid(total)
    candidate = torch.tanh(total[:, 2 * units : 3 * units])
    carry = carry.mul(gates[:, units : 2 * units]).add(gates[:, :units].mul(candidate))
    return gates[:, 3 * units :].mul(carry.tanh()), carry


def lstm_cell(x: Tensor, state: State, weights: Weights) -> State:
    hidden, carry = state
    kernel, recurrent, bias = weights
    units = recurrent.size(0)
    fits = (
        hidden.size() == carry.size() == (x.size(0), units)
        and kernel.size() == (x.size(1), 4 * units)
        and recurrent.size(1) == 4 * units
        and bias.size() == (4 * units,)
    )
    if not fits:
        raise ValueError("the shapes do not fit")
    return advance(F.linear(x, kernel.T, bias), (hidden, carry), recurrent)


def lstm_layer(x: Tensor, weights: Weights, state: State | None = None) -> tuple[Tensor, State]:
    kernel, recurrent, bias = weights
    if state is None:
        zeros = torch.zeros((x.size(0), recurrent.size(0)), dtype=x.dtype, device=x.device)
        state = (zeros, zeros.clone())
    from_inputs = F.linear(x, kernel.T, bias)
    outputs = []
    for t in range(x.size(1)):
        state = advance(from_inputs[:, t], state, recurrent)
        outputs.append(state[0].unsqueeze(1))
    return torch.cat(outputs, dim=1), list(state)


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    limit = 1 / units**0.5
    kernel, recurrent = (nn.init.uniform_(torch.empty(rows, 4 * units), -limit, limit) for rows in (inputs, units))
    return kernel, recurrent, torch.tensor([0.0, forget_bias, 0.0, 0.0]).repeat_interleave(units)


def reorder_gates(array: Tensor, order: str) -> Tensor:
    if tuple(sorted(order)) != ("f", "g", "i", "o"):
        raise ValueError("not an order of the four gates")
    units = array.size(-1) // 4
    if 4 * units != array.size(-1):
        raise ValueError("not four blocks")
    columns = [order.index(gate) * units + unit for gate in "ifgo" for unit in range(units)]
    return array[..., columns]
