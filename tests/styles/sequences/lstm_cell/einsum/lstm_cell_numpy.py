"""Another right way: a gate axis of its own, einsum for the products, accumulate along time."""

from itertools import accumulate

import numpy as np

State = tuple[np.ndarray, np.ndarray]
Weights = tuple[np.ndarray, np.ndarray, np.ndarray]


def lstm_cell(x: np.ndarray, state: State, weights: Weights) -> State:
    hidden, carry = state
    kernel, recurrent, bias = weights
    rows, units = hidden.shape
    for array, shape in zip(
        (x, carry, kernel, recurrent, bias),
        ((rows, kernel.shape[0]), (rows, units), (x.shape[1], 4 * units), (units, 4 * units), (4 * units,)),
        strict=True,
    ):
        if array.shape != shape:
            raise ValueError(f"expected {shape}, got {array.shape}")
    total = np.einsum("bd,dgu->gbu", x, kernel.reshape(-1, 4, units))
    total += np.einsum("bh,hgu->gbu", hidden, recurrent.reshape(-1, 4, units))
    total += bias.reshape(4, 1, units)
    write, keep, show = 1 / (1 + np.exp(-np.clip(total[[0, 1, 3]], -30, 30).astype("float64")))
    carry = keep * carry + write * np.tanh(total[2])
    return (show * np.tanh(carry)).astype(x.dtype), carry.astype(x.dtype)


def lstm_layer(x: np.ndarray, weights: Weights, state: State | None = None) -> tuple[np.ndarray, State]:
    if state is None:
        state = tuple(np.zeros((2, x.shape[0], weights[1].shape[0]), x.dtype))
    steps = np.moveaxis(x, 1, 0)
    states = list(accumulate(steps, lambda before, step: lstm_cell(step, before, weights), initial=state))[1:]
    return np.stack([hidden for hidden, _ in states], axis=1), states[-1]


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    bound = 1 / np.sqrt(units)
    kernel, recurrent = (np.random.uniform(-bound, bound, (n, 4 * units)).astype("float32") for n in (inputs, units))
    bias = np.concatenate([np.zeros(units), np.full(units, forget_bias), np.zeros(2 * units)]).astype("float32")
    return kernel, recurrent, bias


def reorder_gates(array: np.ndarray, order: str) -> np.ndarray:
    if "".join(sorted(order)) != "fgio":
        raise ValueError("not an order of the four gates")
    if array.shape[-1] % 4:
        raise ValueError("not four blocks")
    blocks = np.array_split(array, 4, axis=-1)
    return np.concatenate([blocks[order.index(gate)] for gate in "ifgo"], axis=-1)
