"""Another right way: a gate axis of its own, einsum for the products, tf.scan along time."""

import tensorflow as tf
from tensorflow import Tensor

State = tuple[Tensor, Tensor]
Weights = tuple[Tensor, Tensor, Tensor]


def lstm_cell(x: Tensor, state: State, weights: Weights) -> State:
    hidden, carry = state
    kernel, recurrent, bias = weights
    rows, units = hidden.shape
    if x.shape[0] != rows or carry.shape != hidden.shape:
        raise ValueError("x, hidden state and carry must have as many rows, and the state one width")
    if kernel.shape != [x.shape[1], 4 * units] or recurrent.shape != [units, 4 * units] or bias.shape != [4 * units]:
        raise ValueError("the weights do not fit the input and the state")
    total = tf.einsum("bd,dgu->gbu", x, tf.reshape(kernel, [-1, 4, units]))
    total += tf.einsum("bh,hgu->gbu", hidden, tf.reshape(recurrent, [-1, 4, units]))
    total += tf.reshape(bias, [4, 1, units])
    write, keep, candidate, show = tf.unstack(total)
    carry = tf.math.sigmoid(keep) * carry + tf.math.sigmoid(write) * tf.math.tanh(candidate)
    return tf.math.sigmoid(show) * tf.math.tanh(carry), carry


def lstm_layer(x: Tensor, weights: Weights, state: State | None = None) -> tuple[Tensor, State]:
    if state is None:
        zeros = tf.zeros((x.shape[0], weights[1].shape[0]), dtype=x.dtype)
        state = (zeros, zeros)
    time_first = tf.transpose(x, [1, 0, 2])
    hidden, carry = tf.scan(lambda before, step: lstm_cell(step, before, weights), time_first, initializer=state)
    return tf.transpose(hidden, [1, 0, 2]), (hidden[-1], carry[-1])


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    def draw(rows):
        return tf.keras.initializers.RandomUniform(-(units**-0.5), units**-0.5)((rows, 4 * units))

    bias = tf.concat([tf.zeros(units), tf.fill([units], float(forget_bias)), tf.zeros(2 * units)], axis=0)
    return draw(inputs), draw(units), bias


def reorder_gates(array: Tensor, order: str) -> Tensor:
    if len(order) != 4 or set(order) != set("ifgo"):
        raise ValueError(f"{order!r} does not name the four gates")
    units, rest = divmod(array.shape[-1], 4)
    if rest:
        raise ValueError("the last axis cannot be cut in four")
    blocks = tf.reshape(array, [*array.shape[:-1], 4, units])
    return tf.reshape(tf.gather(blocks, [order.index(gate) for gate in "ifgo"], axis=-2), array.shape)
