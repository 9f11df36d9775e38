"""The adapters' gradients: of tensors, of parameters, of layers, and those that a framework keeps."""

import re

import numpy as np
import pytest

from dojo.testing.adapters import CheckFailed


class TestGradients:
    def test_of_plain_tensors(self, autograd):
        x, y = autograd.array([1.0, 2.0]), autograd.array([3.0, 5.0])
        for _ in range(2):  # nothing is left over from the first time
            found = autograd.gradients(lambda: autograd.sum(x * x * y), [x, y])
            np.testing.assert_allclose(found[0], [6, 20])
            np.testing.assert_allclose(found[1], [1, 4])

    def test_none_for_a_tensor_that_the_loss_does_not_use(self, autograd):
        x, unused = autograd.array([1.0]), autograd.array([1.0])
        assert autograd.gradients(lambda: autograd.sum(x * 2.0), [x, unused])[1] is None
        assert autograd.gradients(lambda: autograd.sum(autograd.array([1.0])), [x]) == [None]

    def test_of_parameters(self, autograd):
        model = autograd.sequential((2,), ("dense", 1))
        x = np.array([[1.0, 2.0], [3.0, 4.0]])
        parameters = list(autograd.parameters(model).values())
        kernel, bias = autograd.gradients(lambda: autograd.sum(autograd.call(model, autograd.array(x))), parameters)
        assert kernel.ravel().tolist() == [4, 6] and bias.tolist() == [2]

    def test_a_loss_that_is_no_scalar_is_refused(self, autograd):
        x = autograd.array([1.0, 2.0])
        with pytest.raises(CheckFailed, match=r"^loss: expected the shape \(\), got \(2,\)"):
            autograd.gradients(lambda: x * 2.0, [x])

    def test_the_loss_is_called_once(self, autograd):
        x, calls = autograd.array([1.0]), []
        autograd.gradients(lambda: calls.append(1) or autograd.sum(x * 2.0), [x])
        assert calls == [1]

    def test_a_plain_tensor_is_left_as_it_was(self, autograd):
        x = autograd.array([1.0])
        autograd.gradients(lambda: autograd.sum(x * 2.0), [x])
        assert not getattr(x, "requires_grad", False) and getattr(x, "grad", None) is None


class TestCloseGradients:
    def test_right_ones_pass(self, fw):
        fw.close_gradients([np.ones(2), np.array(3.0)], [[1, 1], 3.00001], ["a", "b"])

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (None, "no gradient reaches bias. Which operation cuts it off?"),
            (np.ones(3), "gradient of bias: expected the shape (2,), got (3,)."),
            (np.array([1, 1.5]), "gradient of bias: wrong values: 1 of 2 entries are wrong; the worst at [1] should"),
            (np.array([1, np.nan]), "gradient of bias: 1 of 2 entries are not finite"),
        ],
    )
    def test_a_missing_or_wrong_one_is_refused(self, fw, found, words):
        with pytest.raises(CheckFailed, match="^" + re.escape(words)):
            fw.close_gradients([np.ones(2), found], [np.ones(2), np.ones(2)], ["kernel", "bias"])

    def test_tolerances(self, fw):
        fw.close_gradients([np.array([1.1])], [[1.0]], ["a"], rtol=0, atol=0.2)
        with pytest.raises(CheckFailed):
            fw.close_gradients([np.array([1.3])], [[1.0]], ["a"], rtol=0, atol=0.2)


class TestCheckGradients:
    def test_in_another_dtype(self, autograd):
        def rounds(x):
            autograd.check_dtype(x, "float32")
            return x * x

        inputs = [np.array([0.5, -2.0])]
        autograd.check_gradients(rounds, lambda x: x * x, inputs, rtol=1e-3, dtype="float32")
        with pytest.raises(CheckFailed, match="gradient of argument 0: along a random direction"):
            autograd.check_gradients(lambda x: x * x, lambda x: x**3, inputs, rtol=1e-3, dtype="float32")


class TestLayerGradients:
    def test_they_come_in_the_common_layout(self, autograd):
        fw, rng = autograd, np.random.default_rng(0)
        model = fw.randomise(fw.sequential((3,), ("dense", 4), "relu", ("dense", 2)), rng)
        first, second = fw.layers(model)
        x, weights = rng.standard_normal((5, 3)), [fw.weights(first), fw.weights(second)]
        hidden = x @ weights[0]["kernel"] + weights[0]["bias"]
        d_hidden = (np.ones((5, 2)) @ weights[1]["kernel"].T) * (hidden > 0)
        expected = [
            {"kernel": x.T @ d_hidden, "bias": d_hidden.sum(0)},
            {"kernel": np.maximum(hidden, 0).T @ np.ones((5, 2)), "bias": [5, 5]},
        ]
        found = fw.layer_gradients(lambda: fw.sum(fw.call(model, fw.array(x))), [first, second])
        for gradients, right in zip(found, expected, strict=True):
            assert gradients.keys() == right.keys()
            fw.close_gradients(gradients.values(), right.values(), list(right))

    def test_a_convolutions_kernel_has_its_common_layout(self, autograd):
        fw = autograd
        model = fw.sequential((4, 5, 2), ("conv", 3, 1, 1))
        x = np.random.default_rng(0).standard_normal((2, 4, 5, 2))
        (found,) = fw.layer_gradients(lambda: fw.sum(fw.call(model, fw.images(x))), fw.layers(model))
        expected = np.repeat(x.sum(axis=(0, 1, 2))[:, None], 3, axis=1)[None, None]
        fw.close_gradients([found["kernel"], found["bias"]], [expected, np.full(3, 40.0)], ["kernel", "bias"])

    def test_what_is_not_trained_is_left_out_and_what_is_unused_has_none(self, autograd):
        fw = autograd
        model = fw.sequential((3,), "norm", ("dense", 2), ("dense", 2))
        norm, dense, unused = fw.layers(model)
        fw.freeze(next(iter(fw.parameters(dense).values())))
        x = fw.array(np.ones((2, 3)))
        loss = lambda: fw.sum(fw.call(dense, fw.call(norm, x)))  # noqa: E731
        first, second, third = fw.layer_gradients(loss, [norm, dense, unused])
        assert set(first) == {"scale", "shift"} and set(second) == {"bias"}
        assert third == {"kernel": None, "bias": None}
        with pytest.raises(CheckFailed, match="has no kernel; its weights are bias"):
            second["kernel"]


class TestKeptGradients:
    def test_left_ones_are_found_where_a_framework_keeps_any(self, autograd):
        model = autograd.sequential((3,), ("dense", 2))
        assert autograd.held_gradients(model) == {}
        autograd.leave_gradients(model)
        held = autograd.held_gradients(model)
        if autograd.name == "tensorflow":
            assert held == {}
        else:
            for name, parameter in autograd.parameters(model).items():
                np.testing.assert_allclose(held[name], autograd.numpy(parameter) + 1)

    def test_recording_is_noticed(self, autograd):
        seen, x = [], autograd.array([1.0])

        def loss():
            seen.append(autograd.records_gradients())
            return autograd.sum(x * 2.0)

        autograd.gradients(loss, [x])
        assert seen == [True]

    def test_numpy_records_none(self, numpy_fw):
        assert not numpy_fw.records_gradients()
        assert numpy_fw.leave_gradients(None) is None and numpy_fw.held_gradients(None) == {}
