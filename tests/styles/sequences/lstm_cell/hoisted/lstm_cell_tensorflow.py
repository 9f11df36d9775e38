"""Another right way: one product for the inputs of all steps before the loop, a TensorArray, slices for the gates."""

import tensorflow as tf
from tensorflow import Tensor, keras

State = tuple[Tensor, Tensor]
Weights = tuple[Tensor, Tensor, Tensor]


def advance(from_input: Tensor, hidden: Tensor, carry: Tensor, recurrent: Tensor) -> State:
    units = recurrent.shape[0]
    total = tf.add(from_input, tf.linalg.matmul(hidden, recurrent))
    gates = keras.activations.sigmoid(total)
    candidate = keras.activations.tanh(total[:, 2 * units : 3 * units])
    carry = tf.multiply(gates[:, units : 2 * units], carry) + tf.multiply(gates[:, :units], candidate)
    return gates[:, 3 * units :] * keras.activations.tanh(carry), carry


def lstm_cell(x: Tensor, state: State, weights: Weights) -> State:
    hidden, carry = state
    kernel, recurrent, bias = weights
    units = recurrent.shape[0]
    for tensor, shape in zip(
        (hidden, carry, kernel, recurrent, bias),
        ((x.shape[0], units), (x.shape[0], units), (x.shape[1], 4 * units), (units, 4 * units), (4 * units,)),
        strict=True,
    ):
        if not tensor.shape.is_compatible_with(shape):
            raise ValueError(f"expected {shape}, got {tensor.shape}")
    return advance(tf.nn.bias_add(tf.linalg.matmul(x, kernel), bias), hidden, carry, recurrent)


def lstm_layer(x: Tensor, weights: Weights, state: State | None = None) -> tuple[Tensor, State]:
    kernel, recurrent, bias = weights
    rows, steps, _ = x.shape
    if state is None:
        state = tf.zeros((rows, recurrent.shape[0]), x.dtype), tf.zeros((rows, recurrent.shape[0]), x.dtype)
    hidden, carry = state
    from_inputs = tf.tensordot(x, kernel, axes=1) + bias
    outputs = tf.TensorArray(x.dtype, size=steps)
    for t in range(steps):
        hidden, carry = advance(from_inputs[:, t], hidden, carry, recurrent)
        outputs = outputs.write(t, hidden)
    return tf.transpose(outputs.stack(), [1, 0, 2]), [hidden, carry]


def initial_weights(inputs: int, units: int, forget_bias: float = 1.0) -> Weights:
    matrices = (2 * tf.random.uniform([inputs + units, 4 * units]) - 1) / units**0.5
    bias = tf.one_hot(1, 4, on_value=float(forget_bias))[:, None] * tf.ones(units)
    return matrices[:inputs], matrices[inputs:], tf.reshape(bias, [-1])


def reorder_gates(array: Tensor, order: str) -> Tensor:
    if tuple(sorted(order)) != ("f", "g", "i", "o"):
        raise ValueError("not an order of the four gates")
    units = array.shape[-1] // 4
    if 4 * units != array.shape[-1]:
        raise ValueError("not four blocks")
    columns = [order.index(gate) * units + unit for gate in "ifgo" for unit in range(units)]
    return tf.gather(array, columns, axis=-1)
