"""The adapters: what a check accepts, what it refuses, and in which words."""

import re

import numpy as np
import pytest

from dojo.testing.adapters import CheckFailed, open_adapter


class TestArrays:
    def test_floats_become_float32_unless_told(self, fw):
        assert fw.dtype_name(fw.array([1.5])) == "float32"
        assert fw.dtype_name(fw.array([1.5], "float64")) == "float64"
        assert fw.dtype_name(fw.array([1.5], "float16")) == "float16"

    def test_integers_and_bools_stay_what_they_are(self, fw):
        assert fw.dtype_name(fw.array(np.array([1, 2]))) == "int64"
        assert fw.dtype_name(fw.array([True])) == "bool"

    def test_there_and_back(self, fw):
        x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
        np.testing.assert_array_equal(fw.numpy(fw.array(x)), x)
        np.testing.assert_array_equal(fw.images_numpy(fw.images(x[None])), x[None])

    def test_a_tensor_shares_no_memory_with_its_array(self, fw):
        x = np.zeros(3, "float32")
        t = fw.array(x)
        x[:] = 1
        assert fw.numpy(t).sum() == 0

    def test_images_lie_in_the_frameworks_own_layout(self):
        x = np.zeros((2, 5, 6, 3))
        assert tuple(open_adapter("torch").images(x).shape) == (2, 3, 5, 6)
        assert tuple(open_adapter("tensorflow").images(x).shape) == (2, 5, 6, 3)

    @pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0)])
    def test_shapes_at_the_edge(self, fw, shape):
        fw.close(fw.array(np.ones(shape)), np.ones(shape))

    def test_bfloat16_comes_out_as_float32(self, autograd):
        assert autograd.numpy(autograd.array([1.5], "bfloat16")).tolist() == [1.5]


class TestClose:
    def test_equal_values_pass(self, fw):
        fw.close(fw.array([1.0, 2.0]), [1.0, 2.0])
        fw.close(fw.array([1, 2]), np.array([1, 2]))
        fw.close(fw.array([True]), np.array([True]))

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_the_tolerance_follows_the_dtype(self, fw, dtype):
        error = {"float16": 1e-3, "float32": 2e-5, "float64": 1e-9}[dtype]
        fw.close(fw.array([1 + error], dtype), [1.0], dtype=dtype)
        with pytest.raises(CheckFailed, match="wrong values"):
            fw.close(fw.array([1 + 20 * error], dtype), [1.0], dtype=dtype)

    def test_bfloat16(self, autograd):
        autograd.close(autograd.array([1.01], "bfloat16"), [1.0], dtype="bfloat16")
        with pytest.raises(CheckFailed, match="wrong values"):
            autograd.close(autograd.array([1.2], "bfloat16"), [1.0], dtype="bfloat16")

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda fw: None, "nothing came back"),
            (lambda fw: [1.0, 2.0], "expected a .*, got list"),
            (lambda fw: fw.array([1.0]), r"expected the shape \(2,\), got \(1,\)"),
            (lambda fw: fw.array([1.0, 2.0], "float64"), "expected the dtype float32, got float64"),
            (lambda fw: fw.array([1, 2]), "expected the dtype float32, got int64"),
            (lambda fw: fw.array([1.0, np.nan]), "1 of 2 entries are not finite .* got nan"),
            (lambda fw: fw.array([1.0, 2.5]), r"1 of 2 entries .* at \[1\] should be 2 and is 2.5"),
        ],
    )
    def test_it_stops_at_the_first_rung_that_breaks(self, fw, make, words):
        with pytest.raises(CheckFailed, match=f"^answer: .*{words}"):
            fw.close(make(fw), [1.0, 2.0], of="answer")

    def test_infinities_must_stand_where_the_oracle_has_them(self, fw):
        fw.close(fw.array([-np.inf, np.nan, 1.0]), [-np.inf, np.nan, 1.0])
        with pytest.raises(CheckFailed, match="not finite"):
            fw.close(fw.array([np.inf]), [-np.inf])
        with pytest.raises(CheckFailed, match="not finite"):
            fw.close(fw.array([0.0]), [-np.inf])

    def test_anothers_tensor_is_refused(self, autograd):
        other = open_adapter("tensorflow" if autograd.name == "torch" else "torch")
        for stranger in (other, open_adapter("numpy")):
            with pytest.raises(CheckFailed, match="expected a"):
                autograd.close(stranger.array([1.0]), [1.0])

    def test_as_many_digits_are_told_as_tell_the_two_apart(self, fw):
        for off, told in ((1e-3, "should be 1 and is 1.001"), (2e-8, "should be 1 and is 1.00000002")):
            with pytest.raises(CheckFailed, match=re.escape(told) + r"\D"):
                fw.close(fw.array([1 + off], "float64"), [1.0], dtype="float64")

    def test_the_failure_carries_what_came(self, fw):
        with pytest.raises(CheckFailed) as caught:
            fw.close(fw.array([3.0]), [1.0])
        assert caught.value.actual.tolist() == [3.0]


class TestUnchanged:
    def test_a_write_is_noticed(self):
        fw, x = open_adapter("numpy"), np.ones(3)
        t = fw.array(x)
        fw.check_unchanged(t, x)
        t[0] = 5
        with pytest.raises(CheckFailed, match="wrote into its argument"):
            fw.check_unchanged(t, x)

    def test_values_that_float32_rounds_count_as_unchanged(self, fw):
        fw.check_unchanged(fw.array([0.1]), np.array([0.1]))


def product(x, y):
    return x * y


class TestGradients:
    def test_right_gradients_pass(self, autograd):
        autograd.check_gradients(product, product, [np.ones((2, 3)), np.full((2, 3), 2.0)])

    def test_a_detached_argument_is_named(self, autograd):
        def detached(x, y):
            if autograd.name == "torch":
                return x * y.detach()
            import tensorflow as tf

            return x * tf.stop_gradient(y)

        with pytest.raises(CheckFailed, match="no gradient reaches bias"):
            autograd.check_gradients(detached, product, [np.ones(3), np.ones(3)], names=["weight", "bias"])

    def test_a_result_cut_off_from_everything_is_refused(self, autograd):
        with pytest.raises(CheckFailed, match="no gradient reaches"):
            autograd.check_gradients(lambda x: autograd.array(autograd.numpy(x), "float64"), lambda x: x, [np.ones(3)])

    def test_a_wrong_gradient_is_refused_although_the_values_are_right(self, autograd):
        def half_detached(x):
            if autograd.name == "torch":
                return 0.5 * x + 0.5 * x.detach()
            import tensorflow as tf

            return 0.5 * x + 0.5 * tf.stop_gradient(x)

        with pytest.raises(CheckFailed, match="gradient of x: along a random direction"):
            autograd.check_gradients(half_detached, lambda x: x, [np.ones(3)], names=["x"])

    def test_a_gradient_of_nan_is_refused(self, autograd):
        def poisoned(x):
            root = (x * 0) ** 0.5
            return x + root

        with pytest.raises(CheckFailed, match="not finite"):
            autograd.check_gradients(poisoned, lambda x: x, [np.ones(3)], names=["x"])

    def test_integer_arguments_are_passed_on(self, autograd):
        def weighted(x, n):
            return x * (n.double() if autograd.name == "torch" else __import__("tensorflow").cast(n, "float64"))

        autograd.check_gradients(weighted, product, [np.ones(3), np.array([1, 2, 3])])

    def test_a_dropped_dtype_is_told(self, autograd):
        def narrow(x):
            return x.float() if autograd.name == "torch" else __import__("tensorflow").cast(x, "float32")

        with pytest.raises(CheckFailed, match="Keep the dtype"):
            autograd.check_gradients(narrow, lambda x: x, [np.ones(3)])


def layers(name):
    """(kind, layer, input shape) of the standard layers, built."""
    if name == "torch":
        from torch import nn

        return {
            "dense": (nn.Linear(3, 4), (2, 3)),
            "conv2d": (nn.Conv2d(3, 4, (2, 5)), (2, 6, 7, 3)),
            "lstm": (nn.LSTM(3, 4, batch_first=True), (2, 5, 3)),
            "gru": (nn.GRU(3, 4, batch_first=True), (2, 5, 3)),
            "batch_norm": (nn.BatchNorm1d(3), (2, 3)),
            "embedding": (nn.Embedding(5, 2), None),
        }
    import keras

    made = {
        "dense": (keras.layers.Dense(4), (2, 3)),
        "conv2d": (keras.layers.Conv2D(4, (2, 5)), (2, 6, 7, 3)),
        "lstm": (keras.layers.LSTM(4, return_sequences=True), (2, 5, 3)),
        "gru": (keras.layers.GRU(4, return_sequences=True), (2, 5, 3)),
        "batch_norm": (keras.layers.BatchNormalization(epsilon=1e-5), (2, 3)),
        "embedding": (keras.layers.Embedding(5, 2), None),
    }
    for layer, shape in made.values():
        layer.build(shape)
    return made


class TestLayers:
    @pytest.mark.parametrize("kind", ["dense", "conv2d", "lstm", "gru", "batch_norm", "embedding"])
    def test_weights_have_one_layout_and_carry_the_function_over(self, kind):
        """Weights read from the PyTorch layer make the Keras layer compute the same."""
        torch_fw, keras_fw = open_adapter("torch"), open_adapter("tensorflow")
        (source, shape), (target, _) = layers("torch")[kind], layers("tensorflow")[kind]
        weights = torch_fw.weights(source)
        keras_fw.set_weights(target, weights)
        for name, value in keras_fw.weights(target).items():
            np.testing.assert_allclose(value, weights[name], rtol=1e-6)
        if kind == "embedding":
            return
        x = np.random.default_rng(0).standard_normal(shape)
        ours = torch_fw.call(source, torch_fw.images(x) if kind == "conv2d" else torch_fw.array(x))
        ours = ours[0] if isinstance(ours, tuple) else ours
        theirs = keras_fw.call(target, keras_fw.array(x))
        expected = torch_fw.images_numpy(ours) if kind == "conv2d" else torch_fw.numpy(ours)
        keras_fw.close(theirs, expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("kind", ["dense", "conv2d", "lstm", "gru", "batch_norm", "embedding"])
    def test_written_weights_are_read_back(self, autograd, kind):
        layer, _ = layers(autograd.name)[kind]
        drawn = {name: np.random.default_rng(1).random(value.shape) for name, value in autograd.weights(layer).items()}
        autograd.set_weights(layer, drawn)
        for name, value in autograd.weights(layer).items():
            np.testing.assert_allclose(value, drawn[name], rtol=1e-6)

    def test_a_weight_that_is_not_there_is_told_in_words(self, autograd):
        layer, _ = layers(autograd.name)["embedding"]
        with pytest.raises(CheckFailed, match=r"^your Embedding has no bias; its weights are table\.$"):
            autograd.weights(layer)["bias"]
        with pytest.raises(CheckFailed, match="has no bias"):
            autograd.set_weights(layer, {"bias": np.ones(2)})

    def test_parameters_are_those_that_train(self, autograd):
        assert len(autograd.parameters(layers(autograd.name)["batch_norm"][0])) == 2


class TestCounts:
    def test_a_loop_costs_more_than_a_vectorised_call(self, fw):
        def loop(x):
            return [row + row for row in x]

        few, many = fw.array(np.ones((2, 3))), fw.array(np.ones((50, 3)))
        assert fw.count_ops(loop, many) > fw.count_ops(loop, few) + 40
        assert fw.count_ops(lambda x: x + x, many) == fw.count_ops(lambda x: x + x, few)

    def test_peak_bytes_counts_what_lives_at_once(self, fw):
        x = fw.array(np.ones(10_000))

        def outer(x):
            return x[:, None] * x[None, :]

        def in_turn(x):
            for _ in range(5):
                y = x + x
            return y

        assert 4e8 <= fw.peak_bytes(outer, x) < 5e8
        assert 4e4 <= fw.peak_bytes(in_turn, x) < 2.5e5
