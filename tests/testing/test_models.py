"""The adapters' layers, models and optimisers, against NumPy by hand."""

import numpy as np
import pytest

from dojo.testing.adapters import CheckFailed


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def values(fw, model):
    """Arrays of all that is saved with a model."""
    return {name: fw.numpy(tensor) for name, tensor in fw.variables(model).items()}


class TestReadingLayers:
    def test_layers_come_in_order_also_from_inside(self, autograd):
        model = autograd.sequential((6, 6, 2), ("conv", 3, 3, 2), "norm", "relu", "pool", ("dense", 4))
        kinds = [type(layer).__name__.lower()[:4] for layer in autograd.layers(model)]
        assert kinds == ["conv", "batc", "line" if autograd.name == "torch" else "dens"]
        dense = autograd.layers(model)[-1]
        assert autograd.layers(dense) == [dense]

    def test_parameters_are_trained_and_variables_are_all(self, autograd):
        model = autograd.sequential((3,), "norm", ("dense", 2))
        assert len(autograd.parameters(model)) == 4
        variables = autograd.variables(model)
        assert len(variables) == (7 if autograd.name == "torch" else 6)  # PyTorch counts the batches
        assert set(autograd.parameters(model)) <= set(variables)

    def test_layer_epsilon(self, autograd):
        (layer,) = autograd.layers(autograd.sequential((3,), "norm"))
        assert autograd.layer_epsilon(layer) == pytest.approx(1e-5)


class TestRandomise:
    def test_it_fills_every_weight_with_statistics_and_returns_the_model(self, autograd, rng):
        model = autograd.sequential((6, 6, 2), ("conv", 3, 3, 1), "norm", "flatten", ("dense", 4))
        before = values(autograd, model)
        assert autograd.randomise(model, rng) is model
        for name, after in values(autograd, model).items():
            if "num_batches" not in name:
                assert np.all(after != before[name]), name
        conv, norm, _ = map(autograd.weights, autograd.layers(model))
        for positive in (norm["scale"], norm["variance"]):
            assert np.all((positive > 0.5) & (positive < 1.5))
        assert set(norm) == {"scale", "shift", "mean", "variance"} and set(conv) == {"kernel", "bias"}

    def test_a_kernels_spread_follows_what_enters_a_unit(self, autograd, rng):
        model = autograd.randomise(autograd.sequential((400,), ("dense", 300)), rng, gain=3.0)
        weights = autograd.weights(autograd.layers(model)[0])
        assert np.std(weights["kernel"]) == pytest.approx(3 / 20, rel=0.02)
        assert np.std(weights["bias"]) == pytest.approx(0.5, rel=0.2)

    def test_parameters_outside_of_layers_are_filled_too(self, autograd, rng):
        model = autograd.model(lambda model, x, training: x * model.scale, trained={"scale": np.zeros(50)})
        autograd.randomise(model, rng)
        assert np.std(autograd.numpy(model.scale)) == pytest.approx(0.5, rel=0.3)

    def test_the_same_numbers_in_the_same_order(self, autograd):
        kernels = []
        for _ in range(2):
            model = autograd.randomise(autograd.sequential((3,), ("dense", 2)), np.random.default_rng(1))
            kernels.append(autograd.weights(autograd.layers(model)[0])["kernel"])
        np.testing.assert_array_equal(*kernels)
        np.testing.assert_allclose(kernels[0].ravel(), np.random.default_rng(1).standard_normal(6) / 3**0.5, rtol=1e-6)


class TestAssign:
    def test_an_array_and_a_tensor_take_the_dtype(self, autograd):
        model = autograd.sequential((2,), ("dense", 2))
        bias = list(autograd.parameters(model).values())[1]
        for value in (np.array([1.0, 2.0]), [3.0, 4.0], autograd.array([5.0, 6.0])):
            autograd.assign(bias, value)
            written = autograd.numpy(value) if autograd.is_tensor(value) else value
            autograd.close(autograd.array(autograd.numpy(bias)), np.array(written))
        assert autograd.dtype_name(bias) == "float32"

    def test_an_array_of_another_shape_is_refused(self, autograd):
        bias = list(autograd.parameters(autograd.sequential((2,), ("dense", 2))).values())[1]
        with pytest.raises(CheckFailed, match=r"^bias: expected the shape \(3,\), got \(2,\)\."):
            autograd.assign(bias, np.ones(3), of="bias")
        with pytest.raises(CheckFailed, match=r"expected the shape \(\), got \(2,\)"):
            autograd.assign(bias, 1.0)

    def test_numpy_writes_into_the_array(self, numpy_fw):
        x = numpy_fw.array([1.0, 2.0])
        numpy_fw.assign(x, [3.0, 4.0])
        assert x.tolist() == [3, 4]


class TestModes:
    def test_call_has_the_mode_that_is_asked_for(self, autograd):
        model, x = autograd.sequential((100,), ("dropout", 0.5)), autograd.array(np.ones((4, 100)))
        autograd.close(autograd.call(model, x), np.ones((4, 100)))
        dropped = autograd.numpy(autograd.call(model, x, training=True))
        assert set(np.unique(dropped)) == {0, 2} and 0.3 < np.mean(dropped == 0) < 0.7

    def test_the_mode_is_kept_with_the_model_or_nowhere(self, autograd):
        model = autograd.sequential((3,), ("dropout", 0.5))
        for training in (True, False):
            autograd.set_mode(model, training)
            assert autograd.mode(model) is (training if autograd.name == "torch" else None)

    def test_a_frozen_parameter_is_not_trained(self, autograd):
        model = autograd.sequential((3,), ("dense", 2))
        autograd.freeze(list(autograd.parameters(model).values())[1])
        assert [len(p.shape) for p in autograd.parameters(model).values()] == [2]
        assert len(autograd.variables(model)) == 2


class TestMadeModels:
    def test_a_model_from_a_function(self, autograd):
        def compute(model, x, training):
            if training:
                autograd.assign(model.calls, autograd.numpy(model.calls) + 1)
            return x * model.slope + model.shift

        model = autograd.model(
            compute, {"slope": np.array([2.0, 3.0]), "shift": np.array([1.0])}, {"calls": np.zeros(())}
        )
        x = autograd.array([[1.0, 10.0]])
        autograd.close(autograd.call(model, x), [[3.0, 31.0]])
        autograd.close(autograd.call(model, x, training=True), [[3.0, 31.0]])
        assert autograd.numpy(model.calls) == 1
        assert len(autograd.parameters(model)) == 2 and len(autograd.variables(model)) == 3
        gradients = autograd.gradients(
            lambda: autograd.sum(autograd.call(model, x)), list(autograd.parameters(model).values())
        )
        autograd.close_gradients(gradients, [[1, 10], [2]], ["slope", "shift"])

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_dense_layers_and_activations(self, autograd, rng, dtype):
        fw, x = autograd, rng.standard_normal((5, 3))
        parts = [("dense", 4), "relu", ("dense", 4), "tanh", ("dense", 2), "sigmoid"]
        model = fw.randomise(fw.sequential((3,), *parts, dtype=dtype), rng)
        first, second, third = map(fw.weights, fw.layers(model))
        hidden = np.maximum(x @ first["kernel"] + first["bias"], 0)
        hidden = np.tanh(hidden @ second["kernel"] + second["bias"])
        expected = 1 / (1 + np.exp(-(hidden @ third["kernel"] + third["bias"])))
        fw.close(fw.call(model, fw.array(x, dtype)), expected, dtype=dtype)

    @pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (1, 1), (5, 2)])
    def test_convolutions_pad_evenly(self, autograd, rng, side, stride):
        fw, x = autograd, rng.standard_normal((2, 6, 7, 2))
        model = fw.randomise(fw.sequential((6, 7, 2), ("conv", 3, side, stride)), rng)
        weights = fw.weights(fw.layers(model)[0])
        padded = np.pad(x, [(0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)])
        patches = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))[:, ::stride, ::stride]
        expected = np.einsum("bhwcij,ijco->bhwo", patches, weights["kernel"]) + weights["bias"]
        fw.close(fw.array(fw.images_numpy(fw.call(model, fw.images(x)))), expected, rtol=1e-3, atol=1e-4)

    def test_pool_flatten_and_norm(self, autograd, rng):
        fw, x = autograd, rng.standard_normal((8, 4, 5, 3))
        fw.close(fw.call(fw.sequential((4, 5, 3), "pool"), fw.images(x)), x.mean(axis=(1, 2)))
        flat = fw.numpy(fw.call(fw.sequential((4, 5, 3), "flatten"), fw.images(x)))
        np.testing.assert_allclose(flat, fw.own_layout(x).reshape(8, -1), rtol=1e-6)
        norm = fw.sequential((4, 5, 3), "norm")
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        found = fw.images_numpy(fw.call(norm, fw.images(x), training=True))
        fw.close(fw.array(found), (x - mean) / np.sqrt(variance + 1e-5))
        kept = fw.weights(fw.layers(norm)[0])
        fw.close(fw.array(kept["mean"]), mean / 10)
        count = 8 * 4 * 5
        unbiased = variance * count / (count - 1) if fw.name == "torch" else variance
        fw.close(fw.array(kept["variance"]), 0.9 + unbiased / 10)

    def test_an_unknown_part_is_refused(self, autograd):
        with pytest.raises(ValueError, match=r"sequential\(\) does not know the part 'lstm'"):
            autograd.sequential((3,), ("lstm", 4))

    def test_a_watched_model_computes_the_same_and_is_heard(self, autograd, rng):
        heard, x = [], rng.standard_normal((2, 3))
        model = autograd.sequential((3,), ("dense", 2))
        expected = autograd.numpy(autograd.call(model, autograd.array(x)))
        watched = autograd.watched(model, (3,), lambda x, training: heard.append((x, training)))
        for training in (False, True):
            autograd.close(autograd.call(watched, autograd.array(x), training=training), expected)
        assert [training for _, training in heard] == [False, True]
        np.testing.assert_allclose(heard[0][0], x, rtol=1e-6)
        assert len(autograd.parameters(watched)) == 2


def pair(fw):
    """A model with two parameters, [1, 2] and [3], and its parameters as a list."""
    trained = {"first": np.array([1.0, 2.0]), "second": np.array([3.0])}
    model = fw.model(lambda model, x, training: x * model.first + model.second, trained)
    return model, list(fw.parameters(model).values())


def after(fw, parameters):
    return [fw.numpy(parameter) for parameter in parameters]


GRADIENTS = [np.array([0.5, -1.0]), np.array([2.0])]


class TestOptimisers:
    @pytest.mark.parametrize("as_list", [False, True])
    def test_gradient_descent(self, autograd, as_list):
        model, parameters = pair(autograd)
        given = parameters if as_list else model
        optimiser = autograd.sgd(given, 0.1)
        autograd.apply_gradients(optimiser, given, GRADIENTS)
        np.testing.assert_allclose(np.concatenate(after(autograd, parameters)), [0.95, 2.1, 2.8], rtol=1e-6)

    def test_momentum(self, autograd):
        _, parameters = pair(autograd)
        optimiser = autograd.sgd(parameters, 0.1, momentum=0.9)
        expected, velocity = [np.array([1.0, 2.0]), np.array([3.0])], [0, 0]
        for _ in range(3):
            autograd.apply_gradients(optimiser, parameters, GRADIENTS)
            velocity = [0.9 * v + g for v, g in zip(velocity, GRADIENTS, strict=True)]
            expected = [w - 0.1 * v for w, v in zip(expected, velocity, strict=True)]
        for found, right in zip(after(autograd, parameters), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-6)

    def test_weight_decay(self, autograd):
        _, parameters = pair(autograd)
        autograd.apply_gradients(autograd.sgd(parameters, 0.1, weight_decay=0.5), parameters, GRADIENTS)
        first, second = after(autograd, parameters)
        np.testing.assert_allclose(first, [1 - 0.1 * (0.5 + 0.5), 2 - 0.1 * (-1 + 1)], rtol=1e-6)
        np.testing.assert_allclose(second, [3 - 0.1 * (2 + 1.5)], rtol=1e-6)

    def adam_by_hand(self, rate, betas, epsilon, steps):
        """`epsilon` is a function of the step."""
        moments = [(0.0, 0.0)] * 2
        weights = [np.array([1.0, 2.0]), np.array([3.0])]
        for step in range(1, steps + 1):
            moments = [
                (betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g)
                for (m, v), g in zip(moments, GRADIENTS, strict=True)
            ]
            weights = [
                w - rate * m / (1 - betas[0] ** step) / (np.sqrt(v / (1 - betas[1] ** step)) + epsilon(step))
                for w, (m, v) in zip(weights, moments, strict=True)
            ]
        return weights

    def test_adam(self, autograd):
        _, parameters = pair(autograd)
        optimiser = autograd.adam(parameters, 0.1)
        for _ in range(3):
            autograd.apply_gradients(optimiser, parameters, GRADIENTS)
        for found, right in zip(
            after(autograd, parameters), self.adam_by_hand(0.1, (0.9, 0.999), lambda step: 0, 3), strict=True
        ):
            np.testing.assert_allclose(found, right, rtol=1e-4)

    def test_options_have_one_set_of_names(self, autograd):
        _, parameters = pair(autograd)
        kind = type(autograd.adam(parameters, 0.1))
        optimiser = autograd.optimiser(kind, parameters, lr=0.2, betas=(0.5, 0.6), eps=0.1)
        for _ in range(2):
            autograd.apply_gradients(optimiser, parameters, GRADIENTS)
        # Keras adds ε before the bias is corrected, the others after that.
        corrected = (lambda step: np.sqrt(1 - 0.6**step)) if autograd.name == "tensorflow" else lambda step: 1
        expected = self.adam_by_hand(0.2, (0.5, 0.6), lambda step: 0.1 / corrected(step), 2)
        for found, right in zip(after(autograd, parameters), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-5)

    def test_a_parameter_without_a_gradient_stays(self, autograd):
        _, parameters = pair(autograd)
        autograd.apply_gradients(autograd.sgd(parameters, 0.1), parameters, [None, GRADIENTS[1]])
        first, second = after(autograd, parameters)
        assert first.tolist() == [1, 2] and second == pytest.approx(2.8)

    def test_another_number_of_gradients_is_refused(self, autograd):
        _, parameters = pair(autograd)
        with pytest.raises(ValueError):
            autograd.apply_gradients(autograd.sgd(parameters, 0.1), parameters, GRADIENTS[:1])

    def test_the_rate_may_change(self, autograd):
        _, parameters = pair(autograd)
        optimiser = autograd.sgd(parameters, 0.1)
        autograd.set_learning_rate(optimiser, 0.01)
        autograd.apply_gradients(optimiser, parameters, GRADIENTS)
        np.testing.assert_allclose(after(autograd, parameters)[0], [0.995, 2.01], rtol=1e-6)
