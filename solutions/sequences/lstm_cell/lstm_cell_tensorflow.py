"""The LSTM cell and its layer over time, in TensorFlow.

One sum of two products gives all four blocks. The carry is the point: it is scaled by the forget gate and added to,
never multiplied by a matrix, so its gradient survives for as long as the forget gate stays near one. The trap is the
order of the blocks, which no shape reveals: here i, f, g, o.
"""

import tensorflow as tf
from tensorflow import Tensor

State = tuple[Tensor, Tensor]  # hidden and carry, each (B, units)
Weights = tuple[Tensor, Tensor, Tensor]  # kernel (D, 4·units), recurrent (units, 4·units), bias (4·units,)


def lstm_cell(x: Tensor, state: State, weights: Weights) -> State:
    (rows, inputs), units = x.shape, weights[1].shape[0]
    wanted = [(rows, units)] * 2 + [(inputs, 4 * units), (units, 4 * units), (4 * units,)]
    if (shapes := [tuple(tensor.shape) for tensor in (*state, *weights)]) != wanted:
        raise ValueError(f"state and weights have the shapes {shapes}, but x {tuple(x.shape)} needs {wanted}")

    (hidden, carry), (kernel, recurrent, bias) = state, weights
    i, f, g, o = tf.split(x @ kernel + hidden @ recurrent + bias, 4, axis=-1)
    carry = tf.sigmoid(f) * carry + tf.sigmoid(i) * tf.tanh(g)
    return tf.sigmoid(o) * tf.tanh(carry), carry


def lstm_layer(x: Tensor, weights: Weights, state: State | None = None) -> tuple[Tensor, State]:
    if state is None:
        state = (tf.zeros([x.shape[0], weights[1].shape[0]], x.dtype),) * 2
    outputs = []
    for step in tf.unstack(x, axis=1):
        state = lstm_cell(step, state, weights)
        outputs.append(state[0])
    return tf.stack(outputs, axis=1), state


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    limit = units**-0.5
    kernel = tf.random.uniform([inputs, 4 * units], -limit, limit)
    recurrent = tf.random.uniform([units, 4 * units], -limit, limit)
    bias = tf.repeat([0.0, forget_bias, 0.0, 0.0], units)
    return kernel, recurrent, bias


def reorder_gates(array: Tensor, order: str) -> Tensor:
    if sorted(order) != sorted("ifgo"):
        raise ValueError(f"the order must name i, f, g and o once each, not {order!r}")
    if array.shape[-1] % 4:
        raise ValueError(f"the last axis has {array.shape[-1]} entries, which are not four equal blocks")
    blocks = dict(zip(order, tf.split(array, 4, axis=-1), strict=True))
    return tf.concat([blocks[gate] for gate in "ifgo"], axis=-1)
