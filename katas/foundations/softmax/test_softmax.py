"""Levels of the softmax kata. Expected values come from `by_hand`, in float64 NumPy, and from differences of it."""

import numpy as np
import pytest

from dojo import level

any_axis_level = level(1, "any axis", points=2)
temperature_level = level(2, "temperature")
logarithm = level(3, "logarithm")
gradients = level(4, "gradients", autograd=True)
large_logits = level(5, "large logits", points=2)
minus_infinity = level(6, "minus infinity")
jacobian_times_vector = level(7, "Jacobian times vector", points=2)
all_rows_once = level(8, "all rows at once", points=2)

CASES = {
    "one row": ((5,), -1),
    "rows": ((3, 4), -1),
    "columns": ((3, 4), 0),
    "square": ((4, 4), -1),
    "the middle axis": ((2, 3, 4), 1),
    "counted from the end": ((2, 3, 4, 2), -3),
    "one logit each": ((3, 1), 1),
}
any_axis = pytest.mark.parametrize(("shape", "axis"), CASES.values(), ids=CASES.keys())
first_or_last = pytest.mark.parametrize("axis", [0, -1], ids=["axis 0", "last axis"])
not_positive = pytest.mark.parametrize("temperature", [0.0, -1.0], ids=["zero", "negative"])


def in_degrees(temperature):
    return f"T = {temperature}"


def by_hand(logits, axis=-1, temperature=1.0):
    """Softmax and its logarithm as the formulas read: returns the probabilities and their logarithms, both float64."""
    scaled = np.asarray(logits, "float64") / temperature
    largest = scaled.max(axis=axis, keepdims=True)
    scaled = scaled - np.where(np.isneginf(largest), 0, largest)
    total = np.exp(scaled).sum(axis=axis, keepdims=True)
    empty = total == 0
    logarithms = scaled - np.log(np.where(empty, 1, total))
    return np.exp(scaled) / np.where(empty, 1, total), logarithms


def change_along(vector, logits, axis=-1, temperature=1.0, step=1e-5):
    """The Jacobian of softmax times a vector, without any derivative: the difference of two softmaxes."""
    ends = [by_hand(logits + sign * step * vector, axis, temperature)[0] for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * step)


def check_sums(fw, probabilities, shape, axis):
    """The probabilities sum to one along the axis; says how far off the worst slice is."""
    fw.check_shape(probabilities, shape, of="probabilities")
    sums = fw.numpy(probabilities).astype("float64").sum(axis=axis)
    worst = sums.flat[np.argmax(np.abs(sums - 1))]
    if not abs(worst - 1) < 1e-3:
        pytest.fail(f"the probabilities along axis {axis} should sum to 1, but in one slice they sum to {worst:.4g}.")


# -------------------------------------------------------------------- 1


@any_axis_level
def test_three_logits(impl, fw):
    """exp(log 1), exp(log 2) and exp(log 3) are 1, 2 and 3, which sum to 6."""
    logits = np.log([1.0, 2.0, 3.0])
    fw.close(impl.softmax(fw.array(logits)), [1 / 6, 2 / 6, 3 / 6], of="probabilities")


@any_axis_level
@any_axis
def test_each_slice_along_the_axis_is_a_distribution(impl, fw, rng, shape, axis):
    logits = rng.standard_normal(shape)
    probabilities = impl.softmax(fw.array(logits), axis=axis)
    check_sums(fw, probabilities, shape, axis)
    fw.close(probabilities, by_hand(logits, axis)[0], of="probabilities")


@any_axis_level
def test_the_last_axis_is_the_default(impl, fw, rng):
    logits = rng.standard_normal((2, 3, 4))
    probabilities = impl.softmax(fw.array(logits))
    check_sums(fw, probabilities, logits.shape, -1)
    fw.close(probabilities, by_hand(logits)[0], of="probabilities")


@any_axis_level
def test_a_view_of_every_second_column(impl, fw, rng):
    logits = rng.standard_normal((3, 8))
    probabilities = impl.softmax(fw.array(logits)[:, ::2])
    fw.close(probabilities, by_hand(logits[:, ::2])[0], of="probabilities")


@any_axis_level
def test_the_logits_are_not_written_to(impl, fw, rng):
    logits = rng.standard_normal((3, 4))
    given = fw.array(logits)
    impl.softmax(given)
    fw.check_unchanged(given, logits, of="logits")


# -------------------------------------------------------------------- 2


@temperature_level
def test_half_the_temperature_squares_the_odds(impl, fw):
    """At T = 0.5 the odds 1 : 2 : 3 become 1 : 4 : 9."""
    logits = np.log([1.0, 2.0, 3.0])
    fw.close(impl.softmax(fw.array(logits), temperature=0.5), [1 / 14, 4 / 14, 9 / 14], of="probabilities")


@temperature_level
@first_or_last
@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0, 50.0], ids=in_degrees)
def test_the_logits_are_divided_by_the_temperature(impl, fw, rng, axis, temperature):
    logits = rng.standard_normal((4, 3))
    probabilities = impl.softmax(fw.array(logits), axis=axis, temperature=temperature)
    check_sums(fw, probabilities, logits.shape, axis)
    fw.close(probabilities, by_hand(logits, axis, temperature)[0], of="probabilities")


@temperature_level
@not_positive
def test_a_temperature_that_is_not_positive_is_refused(impl, fw, temperature):
    logits = np.array([1.0, 2.0])
    with pytest.raises(ValueError):
        impl.softmax(fw.array(logits), temperature=temperature)


# -------------------------------------------------------------------- 3


@logarithm
@any_axis
@pytest.mark.parametrize("temperature", [0.5, 3.0], ids=in_degrees)
def test_the_logarithm_of_the_probabilities(impl, fw, rng, shape, axis, temperature):
    logits = rng.standard_normal(shape)
    logarithms = impl.log_softmax(fw.array(logits), axis=axis, temperature=temperature)
    fw.close(logarithms, by_hand(logits, axis, temperature)[1], of="logarithms")


@logarithm
def test_axis_and_temperature_may_be_left_out(impl, fw, rng):
    logits = rng.standard_normal((2, 3, 4))
    fw.close(impl.log_softmax(fw.array(logits)), by_hand(logits)[1], of="logarithms")


@logarithm
@not_positive
def test_the_logarithm_refuses_such_a_temperature_too(impl, fw, temperature):
    logits = np.array([1.0, 2.0])
    with pytest.raises(ValueError):
        impl.log_softmax(fw.array(logits), temperature=temperature)


@logarithm
def test_the_logarithm_does_not_write_to_the_logits(impl, fw, rng):
    logits = rng.standard_normal((3, 4))
    given = fw.array(logits)
    impl.log_softmax(given)
    fw.check_unchanged(given, logits, of="logits")


# -------------------------------------------------------------------- 4


@gradients
@any_axis
def test_gradients_of_the_probabilities(impl, fw, rng, shape, axis):
    logits = rng.standard_normal(shape)
    fw.check_gradients(
        lambda z: impl.softmax(z, axis=axis, temperature=0.5),
        lambda z: by_hand(z, axis, 0.5)[0],
        [logits],
        names=["logits"],
    )


@gradients
@any_axis
def test_gradients_of_the_logarithms(impl, fw, rng, shape, axis):
    logits = rng.standard_normal(shape)
    fw.check_gradients(
        lambda z: impl.log_softmax(z, axis=axis, temperature=0.5),
        lambda z: by_hand(z, axis, 0.5)[1],
        [logits],
        names=["logits"],
    )


# -------------------------------------------------------------------- 5


@pytest.fixture(params=[0, -1], ids=["axis 0", "last axis"])
def large(request, rng):
    """(logits, axis): three slices around 10 000, 0 and -10 000. What saves one of them must not ruin the others."""
    logits = np.add(rng.standard_normal((3, 4)), [[1e4], [0], [-1e4]]).astype("float32")
    return np.moveaxis(logits, -1, request.param), request.param


@large_logits
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_two_equal_logits_share_evenly_however_large(impl, fw, size):
    logits = np.array([size, size])
    fw.close(impl.softmax(fw.array(logits)), [0.5, 0.5], of="probabilities")


@large_logits
def test_large_logits_of_either_sign(impl, fw, large):
    logits, axis = large
    probabilities = impl.softmax(fw.array(logits), axis=axis)
    fw.close(probabilities, by_hand(logits, axis)[0], of="probabilities")


@large_logits
def test_the_logarithm_of_large_logits(impl, fw, large):
    logits, axis = large
    logarithms = impl.log_softmax(fw.array(logits), axis=axis)
    fw.close(logarithms, by_hand(logits, axis)[1], of="logarithms")


@large_logits
def test_the_logarithm_of_a_probability_too_small_to_store(impl, fw):
    logits = np.array([[0, 1e4], [1e4, -1e4], [-300, -100]])
    logarithms = impl.log_softmax(fw.array(logits))
    fw.close(logarithms, by_hand(logits)[1], of="logarithms")


@large_logits
def test_large_logits_at_a_low_temperature_in_float16(impl, fw):
    """1e4 / 0.1 is beyond the range of float16, which ends at 65504."""
    logits = np.array([[1e4, 1e4, -1e4], [-1e4, -1e4, -1e4], [9000, 1e4, -9000]])
    probabilities = impl.softmax(fw.array(logits, "float16"), temperature=0.1)
    fw.close(probabilities, by_hand(logits, temperature=0.1)[0], of="probabilities", dtype="float16")


@large_logits
@first_or_last
def test_a_long_slice_in_float16(impl, fw, axis):
    """Moved to 0, each of 70 000 equal logits adds 1 to the sum of its slice: more than float16 can hold."""
    logits = np.moveaxis(np.full((2, 70_000), -3.0), -1, axis)
    probabilities, logarithms = by_hand(logits, axis)
    given = fw.array(logits, "float16")
    fw.close(impl.softmax(given, axis), probabilities, of="probabilities", dtype="float16", atol=1e-7)
    fw.close(impl.log_softmax(given, axis), logarithms, of="logarithms", dtype="float16")


@large_logits
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_dtype_is_kept(impl, fw, rng, dtype):
    logits = rng.standard_normal((3, 4)).astype(dtype)
    probabilities, logarithms = by_hand(logits, 0, 2.0)
    fw.close(impl.softmax(fw.array(logits, dtype), 0, 2.0), probabilities, of="probabilities", dtype=dtype)
    fw.close(impl.log_softmax(fw.array(logits, dtype), 0, 2.0), logarithms, of="logarithms", dtype=dtype)


# -------------------------------------------------------------------- 6


@pytest.fixture(params=[0, -1], ids=["axis 0", "last axis"])
def masked(request, rng):
    """(logits, axis): of the four slices, one has no -inf, one has one, one has two, and the last nothing else."""
    logits = rng.standard_normal((4, 3))
    logits[1, 0] = logits[2, 1] = logits[2, 2] = logits[3] = -np.inf
    return np.moveaxis(logits, -1, request.param), request.param


@minus_infinity
@pytest.mark.parametrize("temperature", [1.0, 0.5], ids=in_degrees)
def test_minus_infinity_gets_probability_zero(impl, fw, masked, temperature):
    logits, axis = masked
    probabilities = impl.softmax(fw.array(logits), axis=axis, temperature=temperature)
    fw.close(probabilities, by_hand(logits, axis, temperature)[0], of="probabilities")


@minus_infinity
@pytest.mark.parametrize("temperature", [1.0, 0.5], ids=in_degrees)
def test_minus_infinity_keeps_its_logarithm(impl, fw, masked, temperature):
    logits, axis = masked
    logarithms = impl.log_softmax(fw.array(logits), axis=axis, temperature=temperature)
    fw.close(logarithms, by_hand(logits, axis, temperature)[1], of="logarithms")


@minus_infinity
def test_minus_infinity_beside_a_large_logit(impl, fw):
    logits = np.array([[-np.inf, 1e4], [-1e4, -np.inf]])
    fw.close(impl.softmax(fw.array(logits)), [[0.0, 1.0], [1.0, 0.0]], of="probabilities")
    fw.close(impl.log_softmax(fw.array(logits)), [[-np.inf, 0.0], [0.0, -np.inf]], of="logarithms")


@minus_infinity(autograd=True)
def test_gradients_stay_finite_beside_minus_infinity(impl, fw, masked):
    logits, axis = masked
    fw.check_gradients(lambda z: impl.softmax(z, axis=axis), lambda z: by_hand(z, axis)[0], [logits], names=["logits"])


@minus_infinity(autograd=True)
def test_gradients_of_the_finite_logarithms(impl, fw, rng):
    """The last slice is nothing but -inf, and none of its logarithms is used."""
    logits = rng.standard_normal((3, 4))
    logits[:, 3] = logits[2] = -np.inf
    fw.check_gradients(
        lambda z: impl.log_softmax(z)[:2, :3], lambda z: by_hand(z)[1][:2, :3], [logits], names=["logits"]
    )


# -------------------------------------------------------------------- 7


@jacobian_times_vector
@any_axis
@pytest.mark.parametrize("temperature", [0.5, 3.0], ids=in_degrees)
def test_the_change_of_the_probabilities_along_a_vector(impl, fw, rng, shape, axis, temperature):
    logits, vector = rng.standard_normal(shape), rng.standard_normal(shape)
    probabilities = by_hand(logits, axis, temperature)[0]
    product = impl.softmax_jvp(fw.array(probabilities), fw.array(vector), axis=axis, temperature=temperature)
    fw.close(product, change_along(vector, logits, axis, temperature), of="product")


@jacobian_times_vector
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_last_axis_and_temperature_one_are_the_defaults(impl, fw, rng, dtype):
    logits, vector = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    probabilities = by_hand(logits)[0]
    product = impl.softmax_jvp(fw.array(probabilities, dtype), fw.array(vector, dtype))
    fw.close(
        product, change_along(vector, logits), of="product", dtype=dtype, atol=1e-8 if dtype == "float64" else None
    )


@jacobian_times_vector
def test_certain_probabilities_do_not_move(impl, fw, rng):
    """A probability of one, or a slice that offers no choice: no small change of the logits is felt."""
    probabilities, vector = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), rng.standard_normal((2, 3))
    fw.close(impl.softmax_jvp(fw.array(probabilities), fw.array(vector)), np.zeros((2, 3)), of="product")


@jacobian_times_vector
@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 1)], ids=["no rows", "one row", "one column"])
def test_a_vector_of_another_shape_is_refused(impl, fw, rng, shape):
    probabilities, vector = by_hand(rng.standard_normal((2, 3)))[0], rng.standard_normal(shape)
    with pytest.raises(ValueError):
        impl.softmax_jvp(fw.array(probabilities), fw.array(vector))


@jacobian_times_vector
@not_positive
def test_the_product_refuses_such_a_temperature_too(impl, fw, temperature):
    probabilities, vector = np.array([0.5, 0.5]), np.array([1.0, 2.0])
    with pytest.raises(ValueError):
        impl.softmax_jvp(fw.array(probabilities), fw.array(vector), temperature=temperature)


@jacobian_times_vector
def test_probabilities_and_vector_are_not_written_to(impl, fw, rng):
    probabilities, vector = by_hand(rng.standard_normal((3, 4)))[0], rng.standard_normal((3, 4))
    given = fw.array(probabilities), fw.array(vector)
    impl.softmax_jvp(*given)
    fw.check_unchanged(given[0], probabilities, of="probabilities")
    fw.check_unchanged(given[1], vector, of="vector")


# -------------------------------------------------------------------- 8


@all_rows_once
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmax_jvp"])
def test_many_rows_take_as_many_operations_as_one(impl, fw, rng, name):
    arguments = 2 if name == "softmax_jvp" else 1
    few, many = (
        fw.count_ops(getattr(impl, name), *[fw.array(by_hand(rng.standard_normal(shape))[0])] * arguments)
        for shape in [(1, 1, 3), (8, 16, 33)]
    )
    if many > few:
        pytest.fail(f"{name} runs {few} operations for one row of 3, but {many} for 128 rows of 33. Is there a loop?")


@all_rows_once
@first_or_last
def test_the_jacobian_is_never_stored(impl, fw, rng, axis):
    """For 1000 probabilities the Jacobian is a thousand times as large as the vector."""
    probabilities = np.moveaxis(by_hand(rng.standard_normal((4, 1000)))[0], -1, axis)
    given, vector = fw.array(probabilities), fw.array(rng.standard_normal(probabilities.shape))
    arrays = fw.peak_bytes(lambda: impl.softmax_jvp(given, vector, axis=axis)) / (4 * 4 * 1000)
    if arrays > 30:
        pytest.fail(f"softmax_jvp holds {arrays:.0f} times the bytes of its vector at once. Does it form the Jacobian?")


@all_rows_once
def test_no_rows_at_all(impl, fw):
    nothing = np.zeros((0, 3))
    fw.close(impl.softmax(fw.array(nothing)), nothing, of="probabilities")
    fw.close(impl.log_softmax(fw.array(nothing)), nothing, of="logarithms")
    fw.close(impl.softmax_jvp(fw.array(nothing), fw.array(nothing)), nothing, of="product")


@pytest.mark.gpu
@all_rows_once
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    logits, vector = rng.standard_normal((3, 5)), rng.standard_normal((3, 5))
    probabilities = impl.softmax(gpu.array(logits))
    gpu.check_device(probabilities, of="probabilities")
    gpu.close(probabilities, by_hand(logits)[0], of="probabilities")
    logarithms = impl.log_softmax(gpu.array(logits))
    gpu.check_device(logarithms, of="logarithms")
    gpu.close(logarithms, by_hand(logits)[1], of="logarithms")
    product = impl.softmax_jvp(probabilities, gpu.array(vector))
    gpu.check_device(product, of="product")
    gpu.close(product, change_along(vector, logits), of="product")
