"""Another right way: a gate axis of its own, einsum for the products, outputs written into one tensor."""

import math

import torch
from torch import Tensor

State = tuple[Tensor, Tensor]
Weights = tuple[Tensor, Tensor, Tensor]


def lstm_cell(x: Tensor, state: State, weights: Weights) -> State:
    hidden, carry = state
    kernel, recurrent, bias = weights
    units = hidden.shape[1]
    for name, tensor, shape in [
        ("hidden", hidden, (x.shape[0], units)),
        ("carry", carry, (x.shape[0], units)),
        ("kernel", kernel, (x.shape[1], 4 * units)),
        ("recurrent", recurrent, (units, 4 * units)),
        ("bias", bias, (4 * units,)),
    ]:
        if tensor.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, not {tuple(tensor.shape)}")
    total = torch.einsum("bd,dgu->gbu", x, kernel.unflatten(1, (4, units)))
    total = total + torch.einsum("bh,hgu->gbu", hidden, recurrent.unflatten(1, (4, units)))
    total = total + bias.unflatten(0, (4, 1, units))
    write, keep, show = torch.sigmoid(total[[0, 1, 3]])
    carry = torch.addcmul(keep * carry, write, torch.tanh(total[2]))
    return show * torch.tanh(carry), carry


def lstm_layer(x: Tensor, weights: Weights, state: State | None = None) -> tuple[Tensor, State]:
    rows, steps, _ = x.shape
    units = weights[1].shape[0]
    if state is None:
        state = torch.zeros(2, rows, units, dtype=x.dtype, device=x.device).unbind()
    outputs = torch.empty(rows, steps, units, dtype=x.dtype, device=x.device)
    for t in range(steps):
        state = lstm_cell(x[:, t], state, weights)
        outputs[:, t] = state[0]
    return outputs, state


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    def draw(rows):
        return (2 * torch.rand(rows, 4 * units) - 1) / math.sqrt(units)

    bias = torch.zeros(4, units)
    bias[1].fill_(forget_bias)
    return draw(inputs), draw(units), bias.flatten()


def reorder_gates(array: Tensor, order: str) -> Tensor:
    if len(order) != 4 or set(order) != set("ifgo"):
        raise ValueError(f"{order!r} does not name the four gates")
    units, rest = divmod(array.shape[-1], 4)
    if rest:
        raise ValueError("the last axis cannot be cut in four")
    blocks = array.reshape(*array.shape[:-1], 4, units)
    places = torch.tensor([order.index(gate) for gate in "ifgo"], device=array.device)
    return blocks.index_select(-2, places).flatten(-2)
