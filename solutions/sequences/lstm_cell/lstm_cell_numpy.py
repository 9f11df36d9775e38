"""The LSTM cell and its layer over time, in NumPy.

One sum of two products gives all four blocks. The carry is the point: it is scaled by the forget gate and added to,
never multiplied by a matrix, so its gradient survives for as long as the forget gate stays near one. The trap is the
order of the blocks, which no shape reveals: here i, f, g, o. The logistic function is half a tanh, which cannot
overflow.
"""

import numpy as np

State = tuple[np.ndarray, np.ndarray]  # hidden and carry, each (B, units)
Weights = tuple[np.ndarray, np.ndarray, np.ndarray]  # kernel (D, 4·units), recurrent (units, 4·units), bias (4·units,)


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * a))


def lstm_cell(x: np.ndarray, state: State, weights: Weights) -> State:
    (rows, inputs), units = x.shape, len(weights[1])
    wanted = [(rows, units)] * 2 + [(inputs, 4 * units), (units, 4 * units), (4 * units,)]
    if (shapes := [array.shape for array in (*state, *weights)]) != wanted:
        raise ValueError(f"state and weights have the shapes {shapes}, but x {x.shape} needs {wanted}")

    (hidden, carry), (kernel, recurrent, bias) = state, weights
    i, f, g, o = np.split(x @ kernel + hidden @ recurrent + bias, 4, axis=-1)
    carry = _sigmoid(f) * carry + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(carry), carry


def lstm_layer(x: np.ndarray, weights: Weights, state: State | None = None) -> tuple[np.ndarray, State]:
    if state is None:
        state = (np.zeros((len(x), len(weights[1])), x.dtype),) * 2
    outputs = []
    for step in x.swapaxes(0, 1):
        state = lstm_cell(step, state, weights)
        outputs.append(state[0])
    return np.stack(outputs, axis=1), state


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    rng, limit = np.random.default_rng(), units**-0.5
    kernel = rng.uniform(-limit, limit, (inputs, 4 * units)).astype(np.float32)
    recurrent = rng.uniform(-limit, limit, (units, 4 * units)).astype(np.float32)
    bias = np.repeat(np.array([0, forget_bias, 0, 0], np.float32), units)
    return kernel, recurrent, bias


def reorder_gates(array: np.ndarray, order: str) -> np.ndarray:
    if sorted(order) != sorted("ifgo"):
        raise ValueError(f"the order must name i, f, g and o once each, not {order!r}")
    # np.split itself raises a ValueError where the blocks would not be equal
    blocks = dict(zip(order, np.split(array, 4, axis=-1), strict=True))
    return np.concatenate([blocks[gate] for gate in "ifgo"], axis=-1)
