"""The adapters' primitives for tensors: dtypes, layouts, a few operations, devices."""

import numpy as np
import pytest

from dojo.errors import DojoError
from dojo.testing.adapters import CheckFailed, open_adapter


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((3, 4))


class TestDtypes:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_epsilon_is_the_distance_from_one_to_the_next(self, fw, dtype):
        one, epsilon = np.ones((), dtype), np.asarray(fw.epsilon(dtype), dtype)
        assert one + epsilon != one and one + epsilon / 2 == one

    def test_epsilon_of_bfloat16(self, fw, autograd):
        assert fw.epsilon("bfloat16") == 1 / 128
        assert autograd.numpy(autograd.array([1 + 1 / 128], "bfloat16")) != 1
        assert autograd.numpy(autograd.array([1 + 1 / 300], "bfloat16")) == 1

    def test_cast(self, fw):
        assert fw.dtype_name(fw.cast(fw.array([1.5]), "float64")) == "float64"
        assert fw.numpy(fw.cast(fw.array([1.5]), "int64")).tolist() == [1]

    def test_is_tensor(self, fw):
        assert fw.is_tensor(fw.array([1.0]))
        assert not any(map(fw.is_tensor, ([1.0], 1.0, None, "text")))


class TestLayouts:
    @pytest.mark.parametrize("shape", [(5, 6, 3), (2, 5, 6, 3), (2, 7, 5, 6, 3)])
    def test_own_layout_and_back(self, fw, shape):
        x = np.random.default_rng(0).random(shape)
        own = fw.own_layout(x)
        assert own.shape == ((*shape[:-3], 3, 5, 6) if fw.name == "torch" else shape)
        np.testing.assert_array_equal(fw.common_layout(own), x)

    @pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
    def test_what_has_no_height_and_width_stays_as_it_is(self, fw, shape):
        assert fw.own_layout(np.ones(shape)).shape == fw.common_layout(np.ones(shape)).shape == shape

    def test_own_kernel_and_back(self, fw):
        kernel = np.random.default_rng(0).random((2, 3, 4, 5))
        np.testing.assert_array_equal(fw.common_kernel(fw.own_kernel(kernel)), kernel)

    def test_own_kernel_is_what_a_convolution_keeps(self, autograd):
        model = autograd.sequential((6, 6, 2), ("conv", 4, 3, 1))
        (layer,) = autograd.layers(model)
        kernel = autograd.weights(layer)["kernel"]
        assert kernel.shape == (3, 3, 2, 4)
        kept = next(autograd.numpy(p) for p in autograd.parameters(model).values() if len(p.shape) == 4)
        np.testing.assert_array_equal(autograd.own_kernel(kernel), kept)

    def test_images_take_a_dtype(self, fw):
        assert fw.dtype_name(fw.images(np.ones((1, 2, 2, 3)), "float64")) == "float64"

    def test_strided_has_the_same_values_in_another_order_of_memory(self, fw, x):
        strided = fw.strided(x)
        fw.close(strided, x)
        if fw.name == "numpy":
            assert not strided.flags.c_contiguous
        if fw.name == "torch":
            assert not strided.is_contiguous()
        assert fw.dtype_name(fw.strided(x, "float64")) == "float64"


class TestOperations:
    @pytest.mark.parametrize("axis", [None, 0, 1, -1])
    def test_sum_and_mean(self, fw, x, axis):
        fw.close(fw.sum(fw.array(x), axis), x.sum(axis))
        fw.close(fw.mean(fw.array(x), axis), x.mean(axis))

    def test_cross_entropy(self, fw, x):
        labels = np.array([0, 3, 1])
        each = np.log(np.exp(x).sum(axis=1)) - x[np.arange(3), labels]
        fw.close(fw.cross_entropy(fw.array(x), fw.array(labels)), each.mean())
        fw.close(fw.cross_entropy(fw.array(x * 1e4), fw.array(np.argmax(x, 1))), 0.0)

    def test_gradients_pass_through_them(self, autograd, x):
        fw, labels = autograd, np.array([0, 3, 1])
        t = fw.array(x)
        chance = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        cases = {
            "sum": (lambda: fw.sum(fw.sum(t, 1) * 2.0), np.full((3, 4), 2)),
            "mean": (lambda: fw.mean(fw.mean(t, 0)), np.full((3, 4), 1 / 12)),
            "cast": (lambda: fw.sum(fw.cast(t, "float64")), np.ones((3, 4))),
            "cross_entropy": (lambda: fw.cross_entropy(t, fw.array(labels)), (chance - np.eye(4)[labels]) / 3),
        }
        for name, (loss, expected) in cases.items():
            fw.close_gradients(fw.gradients(loss, [t]), [expected], [name])

    def test_own_loss_has_the_frameworks_order(self, fw):
        own = fw.own_loss(lambda outputs, targets: (outputs, targets))
        expected = ("outputs", "targets")
        assert (own("targets", "outputs") if fw.name == "tensorflow" else own(*expected)) == expected

    def test_traced_computes_the_same_and_is_traced_where_the_framework_does(self, fw, x):
        calls = []

        def double(t):
            calls.append(1)
            return t + t

        traced = fw.traced(double)
        for _ in range(2):
            fw.close(traced(fw.array(x)), 2 * x)
        assert len(calls) == (1 if fw.traces else 2)

    def test_spoil_writes_zeros_where_it_can(self, fw, x):
        t = fw.array(x)
        fw.spoil(t)
        fw.close(t, x if fw.name == "tensorflow" else np.zeros((3, 4)))

    def test_seeds_and_generators_repeat_their_numbers(self, fw):
        def draw(generator):
            if fw.name == "numpy":
                return generator.random(8)
            if fw.name == "torch":
                return __import__("torch").rand(8, generator=generator)
            return generator.uniform([8])

        first, again, other = (fw.numpy(draw(fw.generator(seed))).tolist() for seed in (3, 3, 4))
        assert first == again != other

    def test_seed_repeats_the_start_of_a_model(self, autograd):
        starts = []
        for seed in (1, 1, 2):
            autograd.seed(seed)
            model = autograd.sequential((3,), ("dense", 4))
            starts.append(autograd.weights(autograd.layers(model)[0])["kernel"].tolist())
        assert starts[0] == starts[1] != starts[2]


class TestDevices:
    def test_a_tensor_lies_on_the_cpu(self, fw):
        with fw.on_device():
            t = fw.to_device(fw.array([1.0]))
        assert "cpu" in fw.device_of(t).lower()
        fw.check_device(t)
        fw.close(t, [1.0])

    def test_another_device_is_refused(self, fw):
        elsewhere = type(fw)("moon")
        with pytest.raises(CheckFailed, match=r"^sum: expected a tensor on the device moon, got one on .*(cpu|CPU)"):
            elsewhere.check_device(fw.array([1.0]), of="sum")

    def test_a_model_goes_to_the_device_as_the_same_object(self, autograd):
        model = autograd.sequential((3,), ("dense", 4))
        assert autograd.to_device(model) is model

    def test_an_accelerator_is_another_adapter_or_none(self, fw):
        accelerator = fw.on_accelerator()
        assert accelerator is None or (accelerator.name == fw.name and accelerator.device != "cpu")


def test_what_an_adapter_has_not_written_is_told():
    class Adapter(type(open_adapter("numpy")).__mro__[1]):
        name = "toy"

    for name, arguments in (("sequential", [(3,)]), ("sum", [None]), ("seed", [1])):
        with pytest.raises(DojoError, match=rf"^the adapter of toy has no {name} yet: write it in tests/testing"):
            getattr(Adapter(), name)(*arguments)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gradients", "does not differentiate"),
        ("layers", "has no layers"),
        ("randomise", "has no layers"),
        ("layer_gradients", "has no layers"),
        ("sequential", "has no models"),
        ("watched", "has no models"),
        ("sgd", "has no optimisers"),
        ("apply_gradients", "has no optimisers"),
    ],
)
def test_numpy_refuses_what_it_has_not(numpy_fw, name, words):
    with pytest.raises(TypeError, match=f"NumPy {words}.*: mark the test with autograd=True"):
        getattr(numpy_fw, name)(None, None)
