"""Levels of the positional encoding kata. Every expected value comes from float64 NumPy, entry by entry."""

import numpy as np
import pytest

from dojo import level

table_level = level(1, "table")
odd_far = level(2, "odd and far")
adding = level(3, "adding")
learned_table = level(4, "learned table", points=2)
shifts = level(5, "shifts", points=2)
order_level = level(6, "order", points=2)

# ---------------------------------------------------------------- the formulas


def angle(position, column, width, base):
    """Columns 2i and 2i + 1 share a frequency."""
    return position / base ** (column // 2 * 2 / width)


def entry(position, column, width, base=10_000.0):
    return (np.cos if column % 2 else np.sin)(angle(position, column, width, base))


def table_by_hand(length, width, base=10_000.0):
    return np.array([[entry(p, c, width, base) for c in range(width)] for p in range(length)]).reshape(length, width)


def mix_by_hand(x, causal=False):
    """Each token takes an average of all tokens, weighted by how alike they are: self-attention without weights."""
    scores = x @ x.swapaxes(-1, -2) / np.sqrt(x.shape[-1])
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    looks = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return looks / looks.sum(axis=-1, keepdims=True) @ x


def made(impl, fw, length, width):
    """A layer of the learner's, and its table. Called once, for a layer may make its weights only then."""
    layer = impl.LearnedPositions(length, width)
    layer(fw.array(np.zeros((1, length, width))))
    tables = list(fw.parameters(layer).values())
    assert len(tables) == 1, f"LearnedPositions has {len(tables)} trainable tensors; its table should be the only one"
    fw.check_shape(tables[0], (length, width), of="the learned table")
    return layer, tables[0]


def table_gradient(fw, layer, table, x, start, cotangent):
    """The gradient of sum(cotangent · layer(x, start)) with respect to the table."""
    given = {"start": start} if start else {}
    if fw.name == "numpy":
        layer.gradient(fw.array(np.ones_like(cotangent)), **given)  # leaves nothing behind
        return layer.gradient(fw.array(cotangent), **given)
    if fw.name == "torch":
        (layer(fw.array(x), **given) * fw.array(cotangent)).sum().backward()
        gradient = table.grad
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(fw.array(x), **given) * fw.array(cotangent))
        gradient = tape.gradient(loss, table)
        gradient = gradient if gradient is None else tf.convert_to_tensor(gradient)
    assert gradient is not None, "no gradient reaches the table"
    return gradient


# ---------------------------------------------------------------- level 1


@table_level
@pytest.mark.parametrize("length, width", [(7, 6), (1, 4), (30, 2), (0, 8), (5, 64)])
def test_sines_and_cosines_take_turns(impl, fw, length, width):
    fw.close(impl.sinusoidal(length, width), table_by_hand(length, width), of="sinusoidal", atol=1e-6)


@table_level
@pytest.mark.parametrize("base", [100.0, 2.0])
def test_the_base_sets_the_longest_wave(impl, fw, base):
    fw.close(impl.sinusoidal(9, 8, base), table_by_hand(9, 8, base), of=f"sinusoidal with base {base:g}", atol=1e-6)


@table_level
@pytest.mark.parametrize("length, width", [(-1, 4), (3, 0), (3, -2)])
def test_sizes_that_are_none_are_refused(impl, fw, length, width):
    with pytest.raises(ValueError):
        impl.sinusoidal(length, width)


# ---------------------------------------------------------------- level 2


@odd_far
@pytest.mark.parametrize("length, width", [(6, 5), (4, 1), (3, 3), (0, 7), (9, 33)])
def test_an_odd_width_ends_with_a_sine(impl, fw, length, width):
    fw.close(impl.sinusoidal(length, width), table_by_hand(length, width), of="sinusoidal", atol=1e-6)


@odd_far
@pytest.mark.parametrize("width", [4, 7])
def test_far_positions_are_right_to_six_digits(impl, fw, width):
    table = impl.sinusoidal(100_001, width)
    fw.check_shape(table, (100_001, width), of="sinusoidal")
    rows = [65_537, 99_991, 100_000]
    expected = np.array([[entry(position, column, width) for column in range(width)] for position in rows])
    fw.close(fw.array(fw.numpy(table)[rows]), expected, of=f"rows {rows} of sinusoidal", rtol=0, atol=1e-6)


# ---------------------------------------------------------------- level 3


@adding
@pytest.mark.parametrize(
    "shape",
    [(2, 5, 4), (5, 2, 3), (3, 4), (2, 3, 4, 5), (1, 1, 1), (2, 0, 4)],
    ids=["batch", "wide_batch", "one_text", "nested", "tiny", "no_time"],
)
@pytest.mark.parametrize("start", [0, 2])
def test_each_token_gets_the_row_of_its_position(impl, fw, rng, shape, start):
    x, table = rng.standard_normal(shape), rng.standard_normal((start + shape[-2] + 1, shape[-1]))
    given = fw.array(x)
    expected = x + table[start : start + shape[-2]]
    fw.close(impl.add_positions(given, fw.array(table), start=start), expected, of="add_positions")
    fw.check_unchanged(given, x, of="x")


@adding
def test_positions_count_from_zero_unless_told_and_may_fill_the_table(impl, fw, rng):
    x, table = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 4))
    fw.close(impl.add_positions(fw.array(x), fw.array(table)), x + table, of="add_positions")


@adding
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_sum_has_the_dtype_of_the_tokens(impl, fw, rng, dtype):
    x, table = rng.standard_normal((2, 3, 4)), rng.standard_normal((5, 4)).astype("float32")
    found = impl.add_positions(fw.array(x, dtype), fw.array(table), start=1)
    fw.close(found, x + table[1:4], of="add_positions", dtype=dtype)


@adding
@pytest.mark.parametrize(
    "shape, start",
    [((2, 3, 5), 0), ((2, 3, 1), 0), ((2, 6, 4), 0), ((2, 2, 4), 4), ((2, 3, 4), -1), ((1, 1, 4), 5)],
    ids=["wider", "narrower", "longer", "one_row_left", "negative", "nothing_left"],
)
def test_what_the_table_does_not_hold_is_refused(impl, fw, rng, shape, start):
    """Even where broadcasting would find a way."""
    with pytest.raises(ValueError):
        impl.add_positions(fw.array(rng.standard_normal(shape)), fw.array(rng.standard_normal((5, 4))), start)


@adding
def test_a_table_of_one_column_is_refused_for_wider_tokens(impl, fw, rng):
    with pytest.raises(ValueError):
        impl.add_positions(fw.array(rng.standard_normal((2, 3, 4))), fw.array(rng.standard_normal((5, 1))))


# ---------------------------------------------------------------- level 4


@learned_table
def test_the_table_starts_small_and_random(impl, fw):
    table = fw.numpy(made(impl, fw, 80, 60)[1])
    other = fw.numpy(made(impl, fw, 80, 60)[1])
    assert abs(table.std() - 0.02) < 0.002, f"its standard deviation should be 0.02, and is {table.std():.4f}"
    assert abs(table.mean()) < 0.002, f"its mean should be 0, and is {table.mean():.4f}"
    tails = np.mean(np.abs(table) > 0.04)  # 4.6 % of a normal distribution, 0 % of a uniform one
    assert 0.02 < tails < 0.08, f"of a normal distribution 4.6 % lie beyond two deviations, here {tails:.1%}"
    assert not np.array_equal(table, other), "two layers must not start with the same table"


@learned_table
@pytest.mark.parametrize(
    "length, shape, start",
    [(6, (2, 3, 4), 0), (6, (3, 2, 4), 3), (6, (3, 4), 1), (6, (2, 5, 3, 4), 2), (1, (1, 1, 1), 0)],
    ids=["front", "later", "one_text", "nested", "tiny"],
)
def test_it_adds_its_own_table(impl, fw, rng, length, shape, start):
    layer, table = made(impl, fw, length, shape[-1])
    x = rng.standard_normal(shape)
    expected = x + fw.numpy(table)[start : start + shape[-2]]
    fw.close(layer(fw.array(x), start=start), expected, of="LearnedPositions", atol=1e-6)


@learned_table
@pytest.mark.parametrize(
    "shape, start",
    [((2, 2, 4), 4), ((2, 2, 4), -1), ((2, 2, 1), 0)],
    ids=["one_row_left", "negative", "narrower"],
)
def test_what_the_learned_table_does_not_hold_is_refused(impl, fw, rng, shape, start):
    layer, _ = made(impl, fw, 5, 4)
    with pytest.raises(ValueError):
        layer(fw.array(rng.standard_normal(shape)), start=start)


@learned_table
@pytest.mark.parametrize("shape, start", [((2, 3, 3, 4), 0), ((5, 2, 4), 3)], ids=["nested", "later"])
def test_a_row_gets_the_gradients_of_all_tokens_at_its_position(impl, fw, rng, shape, start):
    layer, table = made(impl, fw, 8, 4)
    x, cotangent = rng.standard_normal(shape), rng.standard_normal(shape)
    expected = np.zeros((8, 4))
    expected[start : start + shape[-2]] = cotangent.reshape(-1, *shape[-2:]).sum(axis=0)
    fw.close(table_gradient(fw, layer, table, x, start, cotangent), expected, of="gradient of the table")


# ---------------------------------------------------------------- level 5


@shifts
@pytest.mark.parametrize("width, base", [(2, 10_000.0), (6, 10_000.0), (8, 50.0)])
@pytest.mark.parametrize("offset", [1, 5, 0, -3, 100_000])
def test_one_matrix_shifts_every_position(impl, fw, width, base, offset):
    """Checked on rows of the table in float64; then entry by entry, with nothing outside the blocks of a frequency."""
    matrix = impl.shift_matrix(width, offset, *([] if base == 10_000 else [base]))
    fw.check_shape(matrix, (width, width), of="shift_matrix")
    expected = np.zeros((width, width))
    for column in range(0, width, 2):
        turn = angle(offset, column, width, base)
        expected[column : column + 2, column : column + 2] = [
            [np.cos(turn), -np.sin(turn)],
            [np.sin(turn), np.cos(turn)],
        ]
    for position in (4, 17, 1234):
        row, shifted = (
            np.array([entry(p, column, width, base) for column in range(width)]) for p in (position, position + offset)
        )
        moved = fw.array(row @ fw.numpy(matrix).astype("float64"))
        fw.close(moved, shifted, of=f"table[{position}] @ shift_matrix({width}, {offset})", atol=2e-6)
    fw.close(matrix, expected, of=f"shift_matrix({width}, {offset})", atol=1e-6)


@shifts
@pytest.mark.parametrize("width", [5, 1, 0, -2])
def test_a_lone_sine_cannot_be_shifted(impl, fw, width):
    with pytest.raises(ValueError):
        impl.shift_matrix(width, 1)


# ---------------------------------------------------------------- level 6


@order_level
@pytest.mark.parametrize("kind", ["blind", "with_positions", "causal", "falling"])
def test_the_gap_tells_whether_order_is_seen(impl, fw, rng, kind):
    """Mixing by likeness alone is blind. Positions open its eyes, and so does a causal mask."""
    table = table_by_hand(5, 4)
    function = {
        "blind": mix_by_hand,
        "with_positions": lambda x: mix_by_hand(x + table),
        "causal": lambda x: mix_by_hand(x, causal=True),
        "falling": lambda x: -(np.arange(5.0)[:, None] ** 2) + 0 * x,  # the widest difference is negative
    }[kind]
    x, order = rng.standard_normal((3, 5, 4)), np.array([2, 0, 3, 4, 1])
    found = impl.order_gap(lambda t: fw.array(function(fw.numpy(t).astype("float64"))), fw.array(x), fw.array(order))
    assert isinstance(found, float), f"order_gap returns a Python float, not {type(found).__name__}"
    expected = np.abs(function(x[:, order]) - function(x)[:, order]).max()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5), (
        f"{kind}: the gap should be {expected:.5f}, yours is {found:.5f}"
    )


@order_level
@pytest.mark.parametrize("learned", [False, True], ids=["waves", "learned"])
def test_your_positions_open_the_eyes_of_a_blind_function(impl, fw, rng, learned):
    x, order = fw.array(rng.standard_normal((2, 6, 8))), fw.array(np.array([5, 3, 1, 0, 2, 4]))

    def mix(t):
        return fw.array(mix_by_hand(fw.numpy(t).astype("float64")))

    place = impl.LearnedPositions(6, 8) if learned else lambda t: impl.add_positions(t, impl.sinusoidal(6, 8))
    blind, seeing = impl.order_gap(mix, x, order), impl.order_gap(lambda t: mix(place(t)), x, order)
    least = 0.005 if learned else 0.1
    assert blind < 1e-5 < least < seeing, f"the gap is {blind:.2g} without positions and {seeing:.2g} with them"
