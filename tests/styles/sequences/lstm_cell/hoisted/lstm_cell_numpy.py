"""Another right way: one product for the inputs of all steps before the loop, slices, one array for the outputs."""

import numpy as np

State = tuple[np.ndarray, np.ndarray]
Weights = tuple[np.ndarray, np.ndarray, np.ndarray]


def logistic(a: np.ndarray) -> np.ndarray:
    """Only exponents that are not positive, so nothing overflows."""
    small = np.exp(-np.abs(a))
    return np.where(a >= 0, 1, small) / (1 + small)


def advance(from_input: np.ndarray, hidden: np.ndarray, carry: np.ndarray, recurrent: np.ndarray) -> State:
    units = recurrent.shape[0]
    total = from_input + hidden.dot(recurrent)
    gates = logistic(total)
    carry = gates[:, units : 2 * units] * carry + gates[:, :units] * np.tanh(total[:, 2 * units : 3 * units])
    return gates[:, 3 * units :] * np.tanh(carry), carry


def lstm_cell(x: np.ndarray, state: State, weights: Weights) -> State:
    hidden, carry = state
    kernel, recurrent, bias = weights
    units = recurrent.shape[0]
    if kernel.shape != (x.shape[1], 4 * units) or recurrent.shape != (units, 4 * units) or bias.shape != (4 * units,):
        raise ValueError("the weights do not fit")
    if not hidden.shape == carry.shape == (x.shape[0], units):
        raise ValueError("the state does not fit")
    return advance(x.dot(kernel) + bias, hidden, carry, recurrent)


def lstm_layer(x: np.ndarray, weights: Weights, state: State | None = None) -> tuple[np.ndarray, State]:
    kernel, recurrent, bias = weights
    outputs = np.empty((*x.shape[:2], recurrent.shape[0]), dtype=x.dtype)
    hidden, carry = (np.zeros_like(outputs[:, 0]),) * 2 if state is None else state
    from_inputs = x @ kernel + bias
    for t in range(x.shape[1]):
        hidden, carry = advance(from_inputs[:, t], hidden, carry, recurrent)
        outputs[:, t] = hidden
    return outputs, (hidden, carry)


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    both = np.float32((2 * np.random.rand(inputs + units, 4 * units) - 1) / np.sqrt(units))
    bias = np.zeros((4, units), dtype="float32")
    bias[1] = forget_bias
    return both[:inputs], both[inputs:], bias.ravel()


def reorder_gates(array: np.ndarray, order: str) -> np.ndarray:
    if len(order) != 4 or set(order) != set("ifgo"):
        raise ValueError("not an order of the four gates")
    if array.shape[-1] % 4:
        raise ValueError("not four blocks")
    blocks = array.reshape(*array.shape[:-1], 4, -1)
    return blocks[..., [order.index(gate) for gate in "ifgo"], :].reshape(array.shape)
