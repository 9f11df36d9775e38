"""Levels of the lstm_cell kata. Expected values: `by_hand`, in float64 NumPy, and the frameworks' own layers."""

from itertools import permutations

import numpy as np
import pytest

from dojo import level

shapes_level = level(1, "shapes")
one_step = level(2, "one step", points=3)
over_time = level(3, "over time", points=2)
forget_bias_level = level(4, "the forget bias")
order_gates = level(5, "the order of the gates")
gradients = level(6, "gradients", points=2, autograd=True)
large_small_inputs = level(7, "large and small inputs")
no_loops_over = level(8, "no loops over rows")

SIZES = [  # rows, inputs, units
    (1, 1, 1),
    (3, 5, 2),
    (2, 2, 7),
    (4, 3, 3),
]


def sigmoid(a):
    return np.exp(-np.logaddexp(0, -a))


def by_hand(x, state, weights):
    """One step as the formulas read, one block after the other, in float64."""
    x, hidden, carry, kernel, recurrent, bias = (np.asarray(a, "float64") for a in (x, *state, *weights))
    blocks = [np.split(array, 4, axis=-1) for array in (kernel, recurrent, bias)]
    i, f, g, o = (x @ w + hidden @ u + b for w, u, b in zip(*blocks, strict=True))
    carry = sigmoid(f) * carry + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(carry), carry


def by_hand_over_time(x, weights, state):
    """The hidden states (rows, steps, units) and the last state."""
    outputs = []
    for step in range(x.shape[1]):
        state = by_hand(x[:, step], state, weights)
        outputs.append(state[0])
    return np.stack(outputs, axis=1), state


def official(fw, x, weights, state):
    """What the framework's own layer makes of the same weights; in NumPy, which has none, `by_hand`."""
    if fw.name == "numpy":
        return by_hand_over_time(x, weights, state)
    named = dict(zip(("kernel", "recurrent", "bias"), weights, strict=True))
    inputs, units = x.shape[-1], state[0].shape[-1]
    if fw.name == "torch":
        from torch import nn

        layer = nn.LSTM(inputs, units, batch_first=True)
        fw.set_weights(layer, named)
        outputs, last = fw.call(layer, fw.array(x), tuple(fw.array(part[None]) for part in state))
        return fw.numpy(outputs), [fw.numpy(part)[0] for part in last]
    from keras import layers

    layer = layers.LSTM(units, return_sequences=True, return_state=True)
    layer.build(x.shape)
    fw.set_weights(layer, named)
    outputs, *last = layer(fw.array(x), initial_state=[fw.array(part) for part in state])
    return fw.numpy(outputs), [fw.numpy(part) for part in last]


def make_state(rng, rows, units):
    return [rng.standard_normal((rows, units)) for _ in range(2)]


def make_weights(rng, inputs, units):
    return [rng.standard_normal(shape) for shape in ((inputs, 4 * units), (units, 4 * units), (4 * units,))]


def tensors(fw, arrays, dtype=None):
    return tuple(fw.array(array, dtype) for array in arrays)


def pair(result, of):
    """The result's two parts; says what is wrong where it has not two."""
    assert isinstance(result, tuple | list), f"{of}: expected two values in a tuple, got a {type(result).__name__}."
    assert len(result) == 2, f"{of}: expected two values, got {len(result)}."
    return result


def check_state(fw, state, expected, **how):
    hidden, carry = pair(state, of="state")
    fw.close(hidden, expected[0], of="hidden state", **how)
    fw.close(carry, expected[1], of="carry", **how)


def check_layer(fw, result, expected, **how):
    outputs, state = pair(result, of="lstm_layer")
    fw.close(outputs, expected[0], of="outputs", **how)
    check_state(fw, state, expected[1], **how)


@pytest.fixture(params=SIZES, ids=["tiny", "narrow", "wide", "square"])
def sizes(request):
    return request.param


@shapes_level
def test_the_state_keeps_its_shape(impl, fw, rng, sizes):
    rows, inputs, units = sizes
    x, state, weights = (
        rng.standard_normal((rows, inputs)),
        make_state(rng, rows, units),
        make_weights(rng, inputs, units),
    )
    hidden, carry = pair(impl.lstm_cell(fw.array(x), tensors(fw, state), tensors(fw, weights)), of="lstm_cell")
    fw.check_shape(hidden, (rows, units), of="hidden state")
    fw.check_shape(carry, (rows, units), of="carry")


@shapes_level
@pytest.mark.parametrize(
    "wrong, shape",
    [
        ("x", (3, 4)),
        ("x", (3, 1, 5)),
        ("hidden", (1, 3, 2)),
        ("hidden", (1, 2)),
        ("hidden", (3, 1)),
        ("carry", (1, 2)),
        ("carry", (3, 1)),
        ("kernel", (4, 8)),
        ("kernel", (8, 5)),
        ("kernel", (5, 2)),
        ("recurrent", (3, 8)),
        ("recurrent", (2, 12)),
        ("bias", (1,)),
        ("bias", (2,)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(impl, fw, rng, wrong, shape):
    """Three rows of width five, two units; one of the six arrays has another shape."""
    shapes = {"x": (3, 5), "hidden": (3, 2), "carry": (3, 2), "kernel": (5, 8), "recurrent": (2, 8), "bias": (8,)}
    x, *others = (fw.array(rng.standard_normal(size)) for size in (shapes | {wrong: shape}).values())
    with pytest.raises(ValueError):
        impl.lstm_cell(x, tuple(others[:2]), tuple(others[2:]))


@one_step
def test_the_formulas(impl, fw, rng, sizes):
    rows, inputs, units = sizes
    x, state, weights = (
        rng.standard_normal((rows, inputs)),
        make_state(rng, rows, units),
        make_weights(rng, inputs, units),
    )
    result = impl.lstm_cell(fw.array(x), tensors(fw, state), tensors(fw, weights))
    check_state(fw, result, by_hand(x, state, weights))


@one_step
def test_the_same_as_the_official_cell(impl, fw, rng):
    x, state, weights = rng.standard_normal((3, 5)), make_state(rng, 3, 4), make_weights(rng, 5, 4)
    result = impl.lstm_cell(fw.array(x), tensors(fw, state), tensors(fw, weights))
    check_state(fw, result, official(fw, x[:, None], weights, state)[1])


@one_step
def test_no_argument_is_written_to(impl, fw, rng):
    x, state, weights = rng.standard_normal((3, 5)), make_state(rng, 3, 4), make_weights(rng, 5, 4)
    given = fw.array(x), tensors(fw, state), tensors(fw, weights)
    impl.lstm_cell(*given)
    names = ("x", "hidden state", "carry", "kernel", "recurrent", "bias")
    for name, tensor, before in zip(names, (given[0], *given[1], *given[2]), (x, *state, *weights), strict=True):
        fw.check_unchanged(tensor, before, of=name)


@over_time
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_step_gives_an_output(impl, fw, rng, sizes, steps):
    rows, inputs, units = sizes
    x, weights = rng.standard_normal((rows, steps, inputs)), make_weights(rng, inputs, units)
    zeros = [np.zeros((rows, units))] * 2
    check_layer(fw, impl.lstm_layer(fw.array(x), tensors(fw, weights)), by_hand_over_time(x, weights, zeros))


@over_time
def test_the_same_as_the_official_layer_from_a_given_state(impl, fw, rng):
    x, state, weights = rng.standard_normal((3, 6, 5)), make_state(rng, 3, 4), make_weights(rng, 5, 4)
    given = tensors(fw, state)
    result = impl.lstm_layer(fw.array(x), tensors(fw, weights), state=given)
    check_layer(fw, result, official(fw, x, weights, state))
    for name, tensor, before in zip(("hidden state", "carry"), given, state, strict=True):
        fw.check_unchanged(tensor, before, of=name)


@over_time
def test_a_sequence_may_be_run_in_pieces(impl, fw, rng):
    x, weights = rng.standard_normal((2, 7, 3)), make_weights(rng, 3, 5)
    outputs, (last_hidden, last_carry) = by_hand_over_time(x, weights, [np.zeros((2, 5))] * 2)
    first, state = pair(impl.lstm_layer(fw.array(x[:, :3]), tensors(fw, weights)), of="lstm_layer")
    second, state = pair(impl.lstm_layer(fw.array(x[:, 3:]), tensors(fw, weights), state=state), of="lstm_layer")
    fw.close(first, outputs[:, :3], of="outputs of the first piece")
    fw.close(second, outputs[:, 3:], of="outputs of the second piece")
    check_state(fw, state, (last_hidden, last_carry))


@forget_bias_level
@pytest.mark.parametrize("forget_bias", [None, 0.0, 2.5])
def test_only_the_forget_gate_starts_with_a_bias(impl, fw, forget_bias):
    given = {} if forget_bias is None else {"forget_bias": forget_bias}
    expected = np.zeros((4, 3))
    expected[1] = 1.0 if forget_bias is None else forget_bias
    fw.close(impl.initial_weights(5, 3, **given)[2], expected.reshape(12), of="bias", rtol=0, atol=0)


@forget_bias_level
def test_matrices_are_uniform_within_one_over_the_root_of_the_units(impl, fw):
    kernel, recurrent, _ = impl.initial_weights(50, 64)
    for name, matrix, rows in (("kernel", kernel, 50), ("recurrent", recurrent, 64)):
        fw.check_shape(matrix, (rows, 256), of=name)
        fw.check_dtype(matrix, "float32", of=name)
        values = fw.numpy(matrix).astype("float64")
        largest, spread = np.abs(values).max(), values.std()
        assert largest <= 1 / 8 + 1e-6, f"{name}: with 64 units no entry may exceed 1/√64 = 0.125; one is {largest:.4f}"
        assert abs(values.mean()) < 0.005, f"{name}: the mean should be near zero and is {values.mean():.4f}"
        assert abs(spread / (0.125 / 3**0.5) - 1) < 0.05, (
            f"{name}: uniform entries between -0.125 and 0.125 have the standard deviation 0.0722, yours {spread:.4f}"
        )
        correlated = np.corrcoef(np.stack(np.split(values, 4, axis=1)).reshape(4, -1))
        assert np.abs(correlated - np.eye(4)).max() < 0.2, f"{name}: the four blocks must be drawn independently"


@forget_bias_level
def test_every_draw_is_a_new_one(impl, fw):
    first, second = ([fw.numpy(matrix) for matrix in impl.initial_weights(8, 8)[:2]] for _ in range(2))
    assert not np.allclose(first[0], first[1]), "kernel and recurrent weights hold the same numbers: draw each of them"
    assert not np.allclose(first[0], second[0]), "two calls gave the same kernel: draw anew at each call"
    assert not np.allclose(first[1], second[1]), "two calls gave the same recurrent weights: draw anew at each call"


@forget_bias_level
@pytest.mark.parametrize("forget_bias", [0.0, 1.0])
def test_the_bias_decides_how_long_the_carry_lasts(impl, fw, rng, forget_bias):
    """Without input the carry shrinks by σ(forget_bias) a step: to 0.001 of it in ten steps, or to 0.044."""
    carry = rng.standard_normal((2, 3))
    bias = impl.initial_weights(5, 3, forget_bias)[2]
    state = tensors(fw, (np.zeros((2, 3)), carry))
    weights = (*tensors(fw, (np.zeros((5, 12)), np.zeros((3, 12)))), bias)
    _, state = pair(impl.lstm_layer(fw.array(np.zeros((2, 10, 5))), weights, state), of="lstm_layer")
    fw.close(pair(state, of="state")[1], sigmoid(forget_bias) ** 10 * carry, of="carry after ten steps", atol=1e-7)


@order_gates
@pytest.mark.parametrize("shape", [(12,), (5, 4), (1, 3, 28)], ids=["bias", "one_unit", "stacked"])
def test_blocks_in_any_order_are_brought_into_ours(impl, fw, rng, shape):
    block = {gate: rng.standard_normal((*shape[:-1], shape[-1] // 4)) for gate in "ifgo"}
    ours = np.concatenate([block["i"], block["f"], block["g"], block["o"]], axis=-1)
    for order in map("".join, permutations("ifgo")):
        array = np.concatenate([block[gate] for gate in order], axis=-1)
        given = fw.array(array)
        result = impl.reorder_gates(given, order)
        fw.close(result, ours, of=f"weight that came in the order {order}", rtol=1e-6, atol=0)
        fw.check_unchanged(given, array, of="array")


@order_gates
def test_the_dtype_of_a_weight_is_kept(impl, fw, rng):
    array = rng.standard_normal((3, 8))
    result = impl.reorder_gates(fw.array(array, "float64"), "igfo")
    fw.close(result, array[:, [0, 1, 4, 5, 2, 3, 6, 7]], of="kernel", dtype="float64")


@order_gates
@pytest.mark.parametrize("order, width", [("ifg", 12), ("ifgg", 12), ("ifgoo", 20), ("ifco", 12), ("iofg", 10)])
def test_what_is_no_order_of_four_blocks_is_refused(impl, fw, rng, order, width):
    with pytest.raises(ValueError):
        impl.reorder_gates(fw.array(rng.standard_normal((2, width))), order)


@gradients
def test_gradients_reach_every_input_through_time(impl, fw, rng):
    def layer(x, hidden, carry, *weights):
        outputs, (_, carry) = impl.lstm_layer(x, weights, state=(hidden, carry))
        return outputs + carry[:, None]

    def oracle(x, hidden, carry, *weights):
        outputs, (_, carry) = by_hand_over_time(x, weights, (hidden, carry))
        return outputs + carry[:, None]

    inputs = [rng.standard_normal((2, 5, 3)), *make_state(rng, 2, 4), *make_weights(rng, 3, 4)]
    fw.check_gradients(layer, oracle, inputs, names=("x", "hidden", "carry", "kernel", "recurrent", "bias"))


@large_small_inputs
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gates_saturate_without_overflow(impl, fw, rng, dtype):
    x, state, weights = 3000 * rng.standard_normal((3, 4)), make_state(rng, 3, 5), make_weights(rng, 4, 5)
    given = fw.array(x, dtype), tensors(fw, state, dtype), tensors(fw, weights, dtype)
    with np.errstate(over="raise", invalid="raise"):
        result = impl.lstm_cell(*given)
    check_state(fw, result, by_hand(x, state, weights), dtype=dtype)


@large_small_inputs
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_is_kept(impl, fw, rng, dtype):
    x, weights = rng.standard_normal((2, 3, 4)), make_weights(rng, 4, 3)
    result = impl.lstm_layer(fw.array(x, dtype), tensors(fw, weights, dtype))
    how = {"dtype": dtype} | ({"rtol": 0.02, "atol": 0.02} if dtype == "float16" else {})
    check_layer(fw, result, by_hand_over_time(x, weights, [np.zeros((2, 3))] * 2), **how)


@large_small_inputs
def test_half_precision_saturates_too(impl, fw, rng):
    x, state, weights = 300 * rng.standard_normal((3, 4)), make_state(rng, 3, 5), make_weights(rng, 4, 5)
    given = fw.array(x, "float16"), tensors(fw, state, "float16"), tensors(fw, weights, "float16")
    with np.errstate(over="raise", invalid="raise"):
        result = impl.lstm_cell(*given)
    exact = [fw.numpy(tensor).astype("float64") for tensor in (given[0], *given[1], *given[2])]
    check_state(fw, result, by_hand(exact[0], exact[1:3], exact[3:]), dtype="float16", rtol=0.05, atol=0.05)


@large_small_inputs
def test_an_empty_batch_stays_empty(impl, fw, rng):
    result = impl.lstm_layer(fw.array(np.zeros((0, 4, 3))), tensors(fw, make_weights(rng, 3, 2)))
    check_layer(fw, result, (np.zeros((0, 4, 2)), [np.zeros((0, 2))] * 2))


@large_small_inputs
def test_every_second_step_of_a_sequence_will_do(impl, fw, rng):
    """A slice with gaps: not one block of memory."""
    x, weights = rng.standard_normal((3, 8, 6)), make_weights(rng, 3, 4)
    result = impl.lstm_layer(fw.array(x)[:, ::2, ::2], tensors(fw, weights))
    check_layer(fw, result, by_hand_over_time(x[:, ::2, ::2], weights, [np.zeros((3, 4))] * 2))


def count(impl, fw, rng, rows, steps, inputs, units):
    x, weights = fw.array(rng.standard_normal((rows, steps, inputs))), tensors(fw, make_weights(rng, inputs, units))
    return fw.count_ops(impl.lstm_layer, x, weights)


@no_loops_over
def test_rows_and_units_are_batched(impl, fw, rng):
    small, large = count(impl, fw, rng, 2, 5, 3, 2), count(impl, fw, rng, 32, 5, 16, 24)
    assert large <= small, (
        f"a batch of 32 rows and 24 units took {large} operations, one of 2 rows and 2 units {small}: "
        "rows and units need no loop"
    )


@no_loops_over
def test_the_work_grows_in_proportion_to_the_steps(impl, fw, rng):
    few, more, most = (count(impl, fw, rng, 2, steps, 3, 2) for steps in (10, 20, 30))
    assert most - more <= more - few, (
        f"10, 20 and 30 steps took {few}, {more} and {most} operations: each step must cost the same, "
        "so carry the state on and never start again from the beginning"
    )


@pytest.mark.gpu
@over_time
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    x, weights = rng.standard_normal((3, 6, 5)), make_weights(rng, 5, 4)
    result = impl.lstm_layer(gpu.array(x), tensors(gpu, weights))
    gpu.check_device(pair(result, of="lstm_layer")[0], of="outputs")
    check_layer(gpu, result, by_hand_over_time(x, weights, [np.zeros((3, 4))] * 2))
