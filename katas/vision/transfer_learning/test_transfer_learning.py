"""Levels of the transfer_learning kata.

The ResNet-18 of PyTorch is compared with `forward_by_hand`, in NumPy, on a file in torchvision's published layout;
TensorFlow's with keras.applications itself. What is frozen, and what pays, is seen on a small net and real digits.
"""

import os
import pickle
from functools import cache
from inspect import signature

import numpy as np
import pytest

from dojo import level

backbone_level = level(1, "backbone")
published_weights_level = level(2, "published weights", points=2)
frozen = level(3, "frozen", points=2)
unfrozen = level(4, "unfrozen", points=2)
transfer_pays = level(5, "transfer pays", points=3)

# The state_dict that torchvision publishes for ResNet-18: a name and a shape a line. A batch norm of n channels stands
# for five entries: weight, bias, running_mean and running_var of n numbers, and num_batches_tracked, one integer.
LAYOUT = """
conv1.weight 64 3 7 7
bn1 64
layer1.0.conv1.weight 64 64 3 3
layer1.0.bn1 64
layer1.0.conv2.weight 64 64 3 3
layer1.0.bn2 64
layer1.1.conv1.weight 64 64 3 3
layer1.1.bn1 64
layer1.1.conv2.weight 64 64 3 3
layer1.1.bn2 64
layer2.0.conv1.weight 128 64 3 3
layer2.0.bn1 128
layer2.0.conv2.weight 128 128 3 3
layer2.0.bn2 128
layer2.0.downsample.0.weight 128 64 1 1
layer2.0.downsample.1 128
layer2.1.conv1.weight 128 128 3 3
layer2.1.bn1 128
layer2.1.conv2.weight 128 128 3 3
layer2.1.bn2 128
layer3.0.conv1.weight 256 128 3 3
layer3.0.bn1 256
layer3.0.conv2.weight 256 256 3 3
layer3.0.bn2 256
layer3.0.downsample.0.weight 256 128 1 1
layer3.0.downsample.1 256
layer3.1.conv1.weight 256 256 3 3
layer3.1.bn1 256
layer3.1.conv2.weight 256 256 3 3
layer3.1.bn2 256
layer4.0.conv1.weight 512 256 3 3
layer4.0.bn1 512
layer4.0.conv2.weight 512 512 3 3
layer4.0.bn2 512
layer4.0.downsample.0.weight 512 256 1 1
layer4.0.downsample.1 512
layer4.1.conv1.weight 512 512 3 3
layer4.1.bn1 512
layer4.1.conv2.weight 512 512 3 3
layer4.1.bn2 512
fc.weight 1000 512
fc.bias 1000
"""
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def published_shapes():
    """Name to shape, all 122."""
    shapes = {}
    for line in LAYOUT.split("\n")[1:-1]:
        name, *sizes = line.split()
        shape = tuple(map(int, sizes))
        if name.endswith(("weight", "bias")):
            shapes[name] = shape
        else:
            shapes |= {f"{name}.{part}": () if part == "num_batches_tracked" else shape for part in NORM}
    return shapes


def published_weights(rng):
    """Arrays under the published names, of sizes at which a signal neither dies nor explodes."""
    weights = {}
    for name, shape in published_shapes().items():
        if name.endswith("num_batches_tracked"):
            weights[name] = np.array(17)
        elif len(shape) > 1:
            weights[name] = (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype("float32")
        elif name.endswith(("running_var", "weight")):
            weights[name] = rng.uniform(0.5, 1.5, shape).astype("float32")
        else:
            weights[name] = (0.3 * rng.standard_normal(shape)).astype("float32")
    return weights


# ---------------------------------------------------------------- the ResNet-18 as the formula reads


def convolved(x, kernel, stride, padding):
    """x (N, H, W, C), kernel (out, in, h, w) as PyTorch keeps it."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[-1]
    height, width = ((length - size) // stride + 1 for length in x.shape[1:3])
    return sum(
        x[:, i : i + stride * height : stride, j : j + stride * width : stride][:, :height, :width]
        @ kernel[:, :, i, j].T
        for i in range(size)
        for j in range(size)
    )


def normed(x, weights, name):
    scale, shift, mean, variance = (weights[f"{name}.{part}"] for part in NORM[:4])
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift


def forward_by_hand(weights, images):
    """Features (N, 512) of images (N, H, W, 3)."""
    weights = {name: value.astype("float64") for name, value in weights.items()}
    x = np.maximum(normed(convolved(images, weights["conv1.weight"], 2, 3), weights, "bn1"), 0)
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # zeros: nothing is negative here
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2]
    x = windows.max(axis=(-1, -2))
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            branch = normed(convolved(x, weights[f"{name}.conv1.weight"], stride, 1), weights, f"{name}.bn1")
            branch = convolved(np.maximum(branch, 0), weights[f"{name}.conv2.weight"], 1, 1)
            if stride == 2:
                x = normed(convolved(x, weights[f"{name}.downsample.0.weight"], 2, 0), weights, f"{name}.downsample.1")
            x = np.maximum(normed(branch, weights, f"{name}.bn2") + x, 0)
    return x.mean(axis=(1, 2))


# ---------------------------------------------------------------------- level 1


@cache
def fresh_backbone(impl):
    return impl.load_backbone()


@pytest.mark.timeout(60)  # a ResNet-50 takes Keras seconds to build
@backbone_level
def test_the_backbone_is_the_published_net_without_its_last_layer(impl, fw):
    backbone = fresh_backbone(impl)
    if fw.name == "torch":
        found = {name: tuple(value.shape) for name, value in backbone.state_dict().items()}
        expected = {name: shape for name, shape in published_shapes().items() if not name.startswith("fc.")}
        missing, strange = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        assert not missing, f"the state_dict lacks {len(missing)} of torchvision's names, such as {missing[:3]}"
        assert not strange, f"the state_dict has {len(strange)} names that torchvision's has not, such as {strange[:3]}"
        for name, shape in expected.items():
            assert found[name] == shape, f"{name} should have the shape {shape}, not {found[name]}"
    else:
        number = backbone.count_params()
        assert number == 23_587_712, f"ResNet50 without its top has 23587712 parameters; yours has {number}"
        assert backbone.get_layer("conv5_block3_out"), "the layers should have Keras's names"


@pytest.mark.timeout(60)  # a ResNet-50 takes Keras seconds to build
@backbone_level
def test_images_of_any_size_give_features(impl, fw, rng):
    backbone = fresh_backbone(impl)
    for number, height, width in [(2, 33, 47), (1, 64, 32)]:
        features = fw.call(backbone, fw.images(rng.random((number, height, width, 3))))
        fw.check_shape(features, (number, impl.FEATURES), of="features")
        values = fw.numpy(features)
        assert np.isfinite(values).all() and values.std() > 0, (
            "the features of random weights are all alike, or not finite"
        )
        assert values.min() >= 0, "the last block ends with a ReLU: no feature is negative"


# ---------------------------------------------------------------------- level 2


@pytest.mark.timeout(60)
@published_weights_level
def test_a_published_file_gives_its_features(impl, fw, rng, tmp_path, monkeypatch):
    images = rng.standard_normal((2, 45, 38, 3)).astype("float32")
    if fw.name == "torch":
        import torch

        weights, path = published_weights(rng), tmp_path / "resnet18.pth"
        torch.save({name: torch.tensor(value) for name, value in weights.items()}, path)
        expected = forward_by_hand(weights, images.astype("float64"))
    else:
        import keras

        path = tmp_path / "notop.weights.h5"
        official = keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")
        for layer in official.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.moving_variance.assign(rng.uniform(1, 2, layer.moving_variance.shape))
                layer.beta.assign(rng.uniform(-0.1, 0.1, layer.beta.shape))
        official.save_weights(path)
        expected = fw.numpy(fw.call(official, fw.images(images)))
        load = keras.Model.load_weights

        def strict_load(self, path, skip_mismatch=False, **options):
            assert not skip_mismatch, "Keras is told to skip what does not fit: another file would go unnoticed"
            return load(self, path, **options)

        monkeypatch.setattr(keras.Model, "load_weights", strict_load)
    found = fw.call(impl.load_backbone(str(path)), fw.images(images))
    fw.close(found, expected, of="features of the published weights", rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@published_weights_level
def test_the_old_last_layer_may_be_missing_from_the_file(impl, fw, rng, tmp_path):
    if fw.name == "tensorflow":
        pytest.skip("the file of Keras never holds the last layer")
    import torch

    weights, path = published_weights(rng), tmp_path / "resnet18.pth"
    torch.save({name: torch.tensor(value) for name, value in weights.items() if not name.startswith("fc.")}, path)
    for name, value in impl.load_backbone(path).state_dict().items():
        assert np.array_equal(fw.numpy(value), weights[name]), f"{name} is not what the file holds"


@published_weights_level
@pytest.mark.parametrize("kind", ["text", "a list", "no entry", "another entry", "another shape", "a call"])
def test_a_file_with_other_weights_is_refused(impl, fw, tmp_path, rng, kind):
    if fw.name == "tensorflow":
        pytest.skip("in TensorFlow Keras reads the file, and says what is wrong with it")
    import torch

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it ran"),)

    path, content = tmp_path / "bad.pth", {name: torch.zeros(shape) for name, shape in published_shapes().items()}
    if kind == "text":
        path.write_text("404 not found")
    elif kind == "a call":
        path.write_bytes(pickle.dumps({"conv1.weight": Payload()}, protocol=2))
    else:
        if kind == "no entry":
            del content["layer3.1.bn2.running_var"]
        elif kind == "another entry":
            content["layer5.0.conv1.weight"] = torch.zeros(3)
        elif kind == "another shape":
            content["conv1.weight"] = torch.zeros(64, 1, 7, 7)
        torch.save([1, 2] if kind == "a list" else content, path)
    with pytest.raises(ValueError):
        impl.load_backbone(path)
    assert not (tmp_path / "it ran").exists(), "code in the file was run: torch.load needs weights_only=True"


@published_weights_level
def test_a_file_that_is_not_there_is_told(impl, tmp_path):
    with pytest.raises(FileNotFoundError):
        impl.load_backbone(tmp_path / "nowhere.bin")


@published_weights_level
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_are_prepared_as_in_the_published_training(impl, fw, rng, dtype):
    images = rng.random((2, 3, 5, 3)).astype(dtype)
    if fw.name == "torch":
        expected = np.moveaxis((images - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), -1, 1)
        given = fw.array(np.moveaxis(images, -1, 1), dtype)
    else:
        expected = 255 * images[..., ::-1] - (103.939, 116.779, 123.68)
        given = fw.array(images, dtype)
    before = fw.numpy(given)
    fw.close(impl.preprocess(given), expected, of="prepared images", dtype=dtype, atol=1e-4)
    fw.check_unchanged(given, before, of="images")


# ---------------------------------------------------------------------- level 3

NUMBERS = 32  # features of the small backbone


def small_backbone(fw):
    """Three convolutions with batch norm, from images of one channel to NUMBERS features."""
    sizes = [(1, 16, 1), (16, 32, 2), (32, NUMBERS, 2)]
    if fw.name == "torch":
        from torch import nn

        layers = []
        for channels, out, stride in sizes:
            layers += [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten())  # nested, as a ResNet is
    from keras import Input, Sequential, layers

    stack = [Input((12, 12, 1))]
    for _, out, stride in sizes:
        stack += [layers.Conv2D(out, 3, stride, "same", use_bias=False), layers.BatchNormalization(momentum=0.9)]
        stack += [layers.ReLU()]
    return Sequential([*stack, layers.GlobalAveragePooling2D()])


def weights_of(fw, backbone):
    """('norm' or 'convolution', array) of everything that the small backbone keeps."""
    kept = backbone.modules() if fw.name == "torch" else backbone.layers
    for layer in kept:
        if "Conv2" in type(layer).__name__ or "Norm" in type(layer).__name__:
            kind = "norm" if "Norm" in type(layer).__name__ else "convolution"
            yield from ((f"{kind}'s {name}", value) for name, value in fw.weights(layer).items())


def trainable(fw, part):
    """How many numbers of a model or layer the optimiser may move."""
    if fw.name == "torch":
        return sum(p.numel() for p in part.parameters() if p.requires_grad)
    return sum(int(np.prod(v.shape)) for v in part.trainable_variables)


HEAD, CONVOLUTIONS, NORMS = NUMBERS * 5 + 5, 9 * (16 + 16 * 32 + 32 * 32), 2 * (16 + 32 + 32)


def some_images(fw, rng, number=20):
    labels = np.arange(number) % 5
    return fw.images(2 * rng.standard_normal((number, 12, 12, 1)) + 1), fw.array(labels)


def warmed(fw, rng):
    """A small backbone whose statistics are those of other images."""
    backbone = small_backbone(fw)
    for _ in range(3):
        fw.call(backbone, fw.images(rng.standard_normal((8, 12, 12, 1))), training=True)
    return backbone


def changes(fw, before, backbone):
    """Kind of each array to the largest change in it, the largest of its kind."""
    largest = {}
    for (kind, old), (_, new) in zip(before, weights_of(fw, backbone), strict=True):
        largest[kind] = max(largest.get(kind, 0), float(np.abs(new - old).max()))
    return largest


@frozen
def test_the_logits_are_the_head_on_the_features(impl, fw, rng):
    backbone = warmed(fw, rng)
    model = impl.Classifier(backbone, NUMBERS, 5, pretrained=True)
    images, _ = some_images(fw, rng)
    assert model.backbone is backbone, "the classifier must keep the very backbone that it was given"
    head = fw.weights(model.head)
    features = fw.numpy(fw.call(backbone, images)).astype("float64")
    assert head["kernel"].shape == (NUMBERS, 5), f"the head should be (features, classes), not {head['kernel'].shape}"
    fw.close(fw.call(model, images), features @ head["kernel"] + head["bias"], of="logits")


@frozen
def test_only_the_head_can_be_trained(impl, fw, rng):
    model = impl.Classifier(warmed(fw, rng), NUMBERS, 5, pretrained=True)
    free, head = trainable(fw, model), trainable(fw, model.head)
    assert (free, head) == (HEAD, HEAD), f"{free} numbers are trainable, {head} of them in the head; it has {HEAD}"


@frozen
def test_a_frozen_backbone_runs_in_evaluation_mode_in_training_too(impl, fw, rng):
    """Otherwise batch norm would normalise by the few images of the batch, and take them into its statistics."""
    model = impl.Classifier(warmed(fw, rng), NUMBERS, 5, pretrained=True)
    images, _ = some_images(fw, rng)
    before = list(weights_of(fw, model.backbone))
    fresh = model(images)
    expected = fw.numpy(fw.call(model, images, training=False))
    fw.close(fresh, expected, of="logits of a fresh classifier", rtol=0, atol=1e-6)
    fw.close(fw.call(model, images, training=True), expected, of="logits in training mode", rtol=0, atol=1e-6)
    moved = {kind: size for kind, size in changes(fw, before, model.backbone).items() if size}
    assert not moved, f"a forward pass in training mode changed the backbone: {moved}"


@frozen
def test_a_fit_changes_the_head_alone(impl, fw, rng):
    model = impl.Classifier(warmed(fw, rng), NUMBERS, 5, pretrained=True)
    images, labels = some_images(fw, rng)
    before, head = list(weights_of(fw, model.backbone)), fw.weights(model.head)
    impl.fit(model, images, labels, 3, np.random.default_rng(0), rate=0.05, backbone_rate=0.05, batch_size=8)
    moved = {kind: size for kind, size in changes(fw, before, model.backbone).items() if size}
    assert not moved, f"the backbone is frozen, and yet a fit changed it: {moved}"
    for name, value in fw.weights(model.head).items():
        size = np.abs(value - head[name]).max()
        assert size > 0.02, f"after nine steps at a rate of 0.05 the head's {name} has moved by {size:.3g} only"


def noting_backbone(fw, seen):
    """A linear backbone that notes the first number of each image that it is given in training mode."""
    if fw.name == "torch":
        from torch import nn

        backbone = nn.Sequential(nn.Flatten(), nn.Linear(12 * 12, NUMBERS))
        backbone.register_forward_pre_hook(
            lambda module, inputs: seen.append(fw.numpy(inputs[0][:, 0, 0, 0])) if module.training else None
        )
        return backbone
    import tensorflow as tf
    from keras import Input, Sequential, layers

    class Noting(layers.Layer):
        supports_jit = False  # a compiled step could not note anything

        def call(self, images, training=None):
            if training:
                tf.py_function(lambda numbers: seen.append(numbers.numpy()), [images[:, 0, 0, 0]], [])
            return images

    return Sequential([Input((12, 12, 1)), Noting(), layers.Flatten(), layers.Dense(NUMBERS)])


@frozen
def test_every_image_is_used_once_in_each_epoch_in_a_new_order(impl, fw, rng):
    seen, (images, labels) = [], some_images(fw, rng)
    model = impl.Classifier(noting_backbone(fw, seen), NUMBERS, 5, pretrained=False)
    fw.call(model, images)
    impl.fit(model, images, labels, 3, np.random.default_rng(0), rate=0.01, batch_size=8)
    sizes = [len(numbers) for numbers in seen]
    assert sizes == [8, 8, 4] * 3, f"20 images in batches of 8, three times, are [8, 8, 4] * 3 images, not {sizes}"
    given, orders = fw.numpy(images)[:, 0, 0, 0], np.concatenate(seen).reshape(3, 20)
    twice = [epoch + 1 for epoch, order in enumerate(orders) if not np.array_equal(np.sort(order), np.sort(given))]
    assert not twice, f"an image is used twice, and another one not at all, in the epochs {twice}"
    as_given = sum(np.array_equal(order, given) for order in orders)
    assert not as_given, f"{as_given} of three epochs use the images in the order in which they lie"
    found = len({tuple(order) for order in orders})
    assert found == 3, f"three epochs have an order each; yours have {found} different ones together"


@frozen
def test_a_batch_has_32_images_and_both_parts_one_rate_unless_told(impl):
    parameters = signature(impl.fit).parameters
    found = {name: parameters[name].default for name in ("backbone_rate", "batch_size")}
    assert found == {"backbone_rate": None, "batch_size": 32}, f"the defaults of fit are {found}"


@frozen
def test_a_net_that_is_not_pretrained_trains_as_a_whole(impl, fw, rng):
    backbone = warmed(fw, rng)
    model = impl.Classifier(backbone, NUMBERS, 5, pretrained=False)
    images, labels = some_images(fw, rng)
    free, every = trainable(fw, model), HEAD + CONVOLUTIONS + NORMS
    assert free == every, f"{free} of {every} numbers are trainable; nothing of a net of one's own is frozen"
    judged = fw.call(model, images)  # leaves PyTorch's in evaluation mode: fit must set its own
    fw.close(model(images), fw.numpy(judged), of="logits where training is not named")
    head, features = fw.weights(model.head), fw.numpy(fw.call(backbone, images))
    fw.close(judged, features @ head["kernel"] + head["bias"], of="logits in evaluation mode, by what batch norm keeps")
    before = list(weights_of(fw, model.backbone))
    impl.fit(model, images, labels, 2, np.random.default_rng(0), rate=0.01)
    still = [kind for kind, size in changes(fw, before, model.backbone).items() if size < 1e-4]
    assert not still, f"a fit left alone {still}: batch norm's statistics move, too, in training mode"


# ---------------------------------------------------------------------- level 4


@unfrozen
def test_all_but_the_norms_is_unfrozen(impl, fw, rng):
    model = impl.Classifier(warmed(fw, rng), NUMBERS, 5, pretrained=True)
    model.unfreeze()
    free = trainable(fw, model)
    told = f"{free} numbers are trainable; the head has {HEAD}, the convolutions {CONVOLUTIONS}, the norms {NORMS}"
    assert free == HEAD + CONVOLUTIONS, told
    images, _ = some_images(fw, rng)
    before = list(weights_of(fw, model.backbone))
    expected = fw.numpy(fw.call(model, images, training=False))
    fw.close(fw.call(model, images, training=True), expected, of="logits in training mode, unfrozen", rtol=0, atol=1e-6)
    moved = {kind: size for kind, size in changes(fw, before, model.backbone).items() if size}
    assert not moved, f"a forward pass in training mode changed the unfrozen backbone: {moved}"


@unfrozen
def test_the_norms_stay_as_they_are_in_a_fit(impl, fw, rng):
    model = impl.Classifier(warmed(fw, rng), NUMBERS, 5, pretrained=True)
    model.unfreeze()
    images, labels = some_images(fw, rng)
    before = list(weights_of(fw, model.backbone))
    impl.fit(model, images, labels, 3, np.random.default_rng(0), rate=0.05, backbone_rate=0.05, batch_size=8)
    sizes = changes(fw, before, model.backbone)
    moved = {kind: size for kind, size in sizes.items() if kind.startswith("norm") and size}
    assert not moved, f"a fit of an unfrozen backbone changed its batch norms: {moved}"
    assert sizes["convolution's kernel"] > 0.02, (
        f"after nine steps the kernels have moved by {sizes}: are they unfrozen?"
    )


@unfrozen
@pytest.mark.parametrize("backbone_rate", [1e-4, None])
def test_head_and_backbone_have_rates_of_their_own(impl, fw, rng, backbone_rate):
    """Adam's first step moves every number by its rate, whatever the size of its gradient."""
    model = impl.Classifier(warmed(fw, rng), NUMBERS, 5, pretrained=True)
    model.unfreeze()
    images, labels = some_images(fw, rng)
    before, head = list(weights_of(fw, model.backbone)), fw.weights(model.head)
    impl.fit(model, images, labels, 1, np.random.default_rng(0), rate=1e-2, backbone_rate=backbone_rate)
    step = np.abs(fw.weights(model.head)["bias"] - head["bias"]).max()
    assert 0.9e-2 < step < 1.1e-2, (
        f"one step of Adam at a rate of 0.01 should move the head by that, and not by {step:.3g}"
    )
    wanted, step = backbone_rate or 1e-2, changes(fw, before, model.backbone)["convolution's kernel"]
    told = f"with backbone_rate={backbone_rate} one step should move the kernels by {wanted:g}, and not by {step:.3g}"
    assert 0.9 * wanted < step < 1.1 * wanted, told


# ---------------------------------------------------------------------- level 5


@cache
def digits():
    """scikit-learn's digits, each at a random place of a field of 12 by 12: images (1797, 12, 12, 1) and labels."""
    from sklearn.datasets import load_digits

    rng, (pixels, labels) = np.random.default_rng(0), load_digits(return_X_y=True)
    images = np.zeros((len(labels), 12, 12, 1), "float32")
    for image, digit, (top, left) in zip(
        images, pixels.reshape(-1, 8, 8), rng.integers(0, 5, (len(labels), 2)), strict=True
    ):
        image[top : top + 8, left : left + 8, 0] = digit / 16
    return images, labels


def accuracy(fw, model, images, labels):
    return float(np.mean(fw.numpy(fw.call(model, fw.images(images))).argmax(axis=1) == labels))


def taught_old(impl, fw, seed):
    """The backbone of a net that has learnt the digits 0 to 4, and its accuracy on them."""
    fw.seed(seed)
    images, labels = digits()
    old = np.flatnonzero(labels < 5)[:896]  # whole batches: TensorFlow traces one size
    model = impl.Classifier(small_backbone(fw), NUMBERS, 5, pretrained=False)
    impl.fit(model, fw.images(images[old]), fw.array(labels[old]), 6, np.random.default_rng(seed), 5e-3, batch_size=64)
    return model.backbone, accuracy(fw, model, images[old], labels[old])


def copied(fw, backbone):
    if fw.name == "torch":
        from copy import deepcopy

        return deepcopy(backbone)
    fresh = small_backbone(fw)
    fresh.set_weights(backbone.get_weights())
    return fresh


def transferred(impl, fw, backbone, seed):
    """Accuracy on the digits 5 to 9, ten labels of each: the new head alone, then unfrozen, and a net from scratch."""
    fw.seed(seed)
    rng, (images, labels) = np.random.default_rng(seed), digits()
    few = np.concatenate([rng.choice(np.flatnonzero(labels == digit), 10, replace=False) for digit in range(5, 10)])
    rest = np.setdiff1d(np.flatnonzero(labels >= 5), few)
    given, wanted = fw.images(images[few]), fw.array(labels[few] - 5)

    model = impl.Classifier(copied(fw, backbone), NUMBERS, 5, pretrained=True)
    impl.fit(model, given, wanted, 20, rng, 3e-2, batch_size=50)
    head = accuracy(fw, model, images[rest], labels[rest] - 5)
    model.unfreeze()
    impl.fit(model, given, wanted, 15, rng, 2e-3, backbone_rate=1e-3, batch_size=25)
    tuned = accuracy(fw, model, images[rest], labels[rest] - 5)
    scratch = impl.Classifier(small_backbone(fw), NUMBERS, 5, pretrained=False)
    impl.fit(scratch, given, wanted, 30, rng, 5e-3, batch_size=25)
    return head, tuned, accuracy(fw, scratch, images[rest], labels[rest] - 5)


@pytest.mark.timeout(120)  # a few seconds, on a machine with nothing else to do
@transfer_pays
def test_ten_labels_a_class_are_worth_more_after_other_digits(impl, fw):
    """Ten seeds in each framework: head alone 0.41 to 0.59, fine-tuned 0.51 to 0.65, from scratch 0.36 to 0.49.

    With the same labels fine-tuning is ahead of training from scratch by 0.08 or more. Guessing gives 0.20.
    """
    backbone, old = taught_old(impl, fw, seed=0)
    assert old > 0.75, f"the digits 0 to 4 should be learnt first; the accuracy on them is {old:.2f}"
    seeds = range(3 if fw.name == "torch" else 2)  # TensorFlow's traces take longer than all the steps
    results = np.array([transferred(impl, fw, backbone, seed) for seed in seeds])
    head, tuned, scratch = results.mean(axis=0)
    told = f"over {len(seeds)} seeds: head alone {head:.2f}, fine-tuned {tuned:.2f}, from scratch {scratch:.2f}"
    assert scratch > 0.25, f"{told}. From scratch is hardly better than guessing, 0.20: does `fit` train the whole net?"
    assert np.all(results[:, 1] > results[:, 2]), f"{told}. With the same labels transfer should win for every seed"
    assert tuned - scratch > 0.05, f"{told}. Transfer should gain more than 0.05"
    assert tuned > head, f"{told}. Fine-tuning should add to the head"
