"""Levels of the transfer_learning kata.

The published nets are compared with those of transfer_learning_support.py; what is frozen, and what pays, is seen on a
small net and real digits.
"""

import os
import pickle
from functools import cache
from inspect import signature

import numpy as np
import pytest

from dojo import level
from dojo.testing import data
from katas.vision.transfer_learning.transfer_learning_support import (
    NUMBERS,
    OFFICIAL,
    published_shapes,
    published_weights,
)

published_net = level(1, "backbone")
published_files = level(2, "published weights", points=2)
frozen = level(3, "frozen", points=2)
unfrozen = level(4, "unfrozen", points=2)
transfer_pays = level(5, "transfer pays", points=3)

# How many numbers each part of a classifier of five classes with the small backbone has.
HEAD, CONVOLUTIONS, NORMS = NUMBERS * 5 + 5, 9 * (16 + 16 * 32 + 32 * 32), 2 * (16 + 32 + 32)


def official(fw):
    return OFFICIAL[fw.name]


@cache
def fresh_backbone(impl):
    return impl.load_backbone()


@pytest.mark.timeout(60)  # a ResNet-50 takes Keras seconds to build
@published_net
def test_the_backbone_is_the_published_net_without_its_last_layer(impl, fw):
    official(fw).check(fw, fresh_backbone(impl))


@pytest.mark.timeout(60)  # a ResNet-50 takes Keras seconds to build
@published_net
def test_images_of_any_size_give_features(impl, fw, rng):
    backbone = fresh_backbone(impl)
    for number, height, width in [(2, 33, 47), (1, 64, 32)]:
        features = fw.call(backbone, fw.images(rng.random((number, height, width, 3))))
        fw.check_shape(features, (number, impl.FEATURES), of="features")
        values = fw.numpy(features)
        assert np.isfinite(values).all() and values.std() > 0, "the features of random weights are alike, or not finite"
        assert values.min() >= 0, "the last block ends with a ReLU: no feature is negative"


@pytest.mark.timeout(60)
@published_files
def test_a_published_file_gives_its_features(impl, fw, rng, tmp_path, monkeypatch):
    images = rng.standard_normal((2, 45, 38, 3)).astype("float32")
    path, expected = official(fw).publish(fw, rng, tmp_path, images, monkeypatch)
    found = fw.call(impl.load_backbone(str(path)), fw.images(images))
    fw.close(found, expected, of="features of the published weights", rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@published_files
def test_the_old_last_layer_may_be_missing_from_the_file(impl, fw, rng, tmp_path):
    weights, path = published_weights(rng), tmp_path / "resnet18.pth"
    official(fw).save({name: value for name, value in weights.items() if not name.startswith("fc.")}, path)
    for name, value in impl.load_backbone(path).state_dict().items():
        assert np.array_equal(fw.numpy(value), weights[name]), f"{name} is not what the file holds"


@published_files
@pytest.mark.parametrize("kind", ["text", "a list", "no entry", "another entry", "another shape", "a call"])
def test_a_file_with_other_weights_is_refused(impl, fw, tmp_path, rng, kind):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it ran"),)

    path, right = tmp_path / "bad.pth", {name: np.zeros(shape, "float32") for name, shape in published_shapes().items()}
    content = {
        "a list": [1, 2],
        "no entry": {name: value for name, value in right.items() if name != "layer3.1.bn2.running_var"},
        "another entry": right | {"layer5.0.conv1.weight": np.zeros(3, "float32")},
        "another shape": right | {"conv1.weight": np.zeros((64, 1, 7, 7), "float32")},
    }
    official(fw).save(content.get(kind, right), path)
    if kind == "text":
        path.write_text("404 not found")
    elif kind == "a call":
        path.write_bytes(pickle.dumps({"conv1.weight": Payload()}, protocol=2))
    with pytest.raises(ValueError):
        impl.load_backbone(path)
    assert not (tmp_path / "it ran").exists(), "code in the file was run: torch.load needs weights_only=True"


@published_files
def test_a_file_that_is_not_there_is_told(impl, tmp_path):
    with pytest.raises(FileNotFoundError):
        impl.load_backbone(tmp_path / "nowhere.bin")


@published_files
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_are_prepared_as_in_the_published_training(impl, fw, rng, dtype):
    images = rng.random((2, 3, 5, 3)).astype(dtype)
    given, expected = fw.images(images, dtype), fw.own_layout(official(fw).prepared(images))
    fw.close(impl.preprocess(given), expected, of="prepared images", dtype=dtype, atol=1e-4)
    fw.check_unchanged(given, fw.own_layout(images), of="images")


def weights_of(fw, model):
    """("norm's …", "convolution's …" or "head's …", array) of everything that the classifier keeps."""
    for layer in fw.layers(model):
        weights = fw.weights(layer)
        kind = "head" if layer is model.head else "norm" if "mean" in weights else "convolution"
        yield from ((f"{kind}'s {name}", value) for name, value in weights.items())


def trainable(fw, part):
    """How many numbers of a model or layer the optimiser may move."""
    return sum(int(np.prod(tensor.shape)) for tensor in fw.parameters(part).values())


def some_images(fw, rng, number=20):
    labels = np.arange(number) % 5
    return fw.images(2 * rng.standard_normal((number, 12, 12, 1)) + 1), fw.array(labels)


def made(impl, fw, rng, pretrained=True, unfreeze=False):
    """A classifier on a small backbone whose statistics are those of other images."""
    backbone = official(fw).small_backbone()
    for _ in range(3):
        fw.call(backbone, fw.images(rng.standard_normal((8, 12, 12, 1))), training=True)
    model = impl.Classifier(backbone, NUMBERS, 5, pretrained=pretrained)
    assert model.backbone is backbone, "the classifier must keep the very backbone that it was given"
    if unfreeze:
        model.unfreeze()
    return model, *some_images(fw, rng)


def changes(fw, model, do, *arguments, **options):
    """Kind of each array to the largest change in it by do(…), the largest of its kind."""
    before, largest = list(weights_of(fw, model)), {}
    do(*arguments, **options)
    for (kind, old), (_, new) in zip(before, weights_of(fw, model), strict=True):
        largest[kind] = max(largest.get(kind, 0), float(np.abs(new - old).max()))
    return largest


def changes_in_fit(impl, fw, model, images, labels, epochs, **options):
    return changes(fw, model, impl.fit, model, images, labels, epochs, np.random.default_rng(0), **options)


def check_training_mode(fw, model, images, of):
    """In training mode the logits are those of evaluation mode, and nothing moves."""
    expected = fw.numpy(fw.call(model, images, training=False))
    moved = changes(fw, model, fw.call, model, images, training=True)
    assert not any(moved.values()), f"a forward pass in training mode changed the classifier: {moved}"
    fw.close(fw.call(model, images, training=True), expected, of=of, rtol=0, atol=1e-6)


@frozen
def test_the_logits_are_the_head_on_the_features(impl, fw, rng):
    model, images, _ = made(impl, fw, rng)
    head = fw.weights(model.head)
    features = fw.numpy(fw.call(model.backbone, images)).astype("float64")
    assert head["kernel"].shape == (NUMBERS, 5), f"the head should be (features, classes), not {head['kernel'].shape}"
    fw.close(fw.call(model, images), features @ head["kernel"] + head["bias"], of="logits")


@frozen
def test_only_the_head_can_be_trained(impl, fw, rng):
    model, *_ = made(impl, fw, rng)
    free, head = trainable(fw, model), trainable(fw, model.head)
    assert (free, head) == (HEAD, HEAD), f"{free} numbers are trainable, {head} of them in the head; it has {HEAD}"


@frozen
def test_a_frozen_backbone_runs_in_evaluation_mode_in_training_too(impl, fw, rng):
    """Otherwise batch norm would normalise by the few images of the batch, and take them into its statistics."""
    model, images, _ = made(impl, fw, rng)
    fresh = model(images)
    expected = fw.numpy(fw.call(model, images, training=False))
    fw.close(fresh, expected, of="logits of a fresh classifier", rtol=0, atol=1e-6)
    check_training_mode(fw, model, images, of="logits in training mode")


@frozen
def test_a_fit_changes_the_head_alone(impl, fw, rng):
    model, images, labels = made(impl, fw, rng)
    sizes = changes_in_fit(impl, fw, model, images, labels, 3, rate=0.05, backbone_rate=0.05, batch_size=8)
    moved = {kind: size for kind, size in sizes.items() if size and not kind.startswith("head")}
    assert not moved, f"the backbone is frozen, and yet a fit changed it: {moved}"
    for name in ("head's kernel", "head's bias"):
        size = sizes[name]
        assert size > 0.02, f"after nine steps at a rate of 0.05 the {name} has moved by {size:.3g} only"


@frozen
def test_every_image_is_used_once_in_each_epoch_in_a_new_order(impl, fw, rng):
    seen, (images, labels) = [], some_images(fw, rng)

    def note(given, training):
        if training:
            seen.append(given[:, 0, 0, 0])

    backbone = fw.watched(fw.sequential((12, 12, 1), "flatten", ("dense", NUMBERS)), (12, 12, 1), note)
    model = impl.Classifier(backbone, NUMBERS, 5, pretrained=False)
    fw.call(model, images)
    impl.fit(model, images, labels, 3, np.random.default_rng(0), rate=0.01, batch_size=8)
    sizes = [len(numbers) for numbers in seen]
    assert sizes == [8, 8, 4] * 3, f"20 images in batches of 8, three times, are [8, 8, 4] * 3 images, not {sizes}"
    given, orders = fw.numpy(images)[:, 0, 0, 0], np.concatenate(seen).reshape(3, 20)
    twice = [epoch + 1 for epoch, order in enumerate(orders) if not np.array_equal(np.sort(order), np.sort(given))]
    assert not twice, f"an image is used twice, and another one not at all, in the epochs {twice}"
    found = len({tuple(order) for order in [given, *orders]})
    assert found == 4, f"three epochs each need an order of their own, and not that of the images; {found - 1} are new"


@frozen
def test_a_batch_has_32_images_and_both_parts_one_rate_unless_told(impl):
    parameters = signature(impl.fit).parameters
    found = {name: parameters[name].default for name in ("backbone_rate", "batch_size")}
    assert found == {"backbone_rate": None, "batch_size": 32}, f"the defaults of fit are {found}"


@frozen
def test_a_net_that_is_not_pretrained_trains_as_a_whole(impl, fw, rng):
    model, images, labels = made(impl, fw, rng, pretrained=False)
    free, every = trainable(fw, model), HEAD + CONVOLUTIONS + NORMS
    assert free == every, f"{free} of {every} numbers are trainable; nothing of a net of one's own is frozen"
    judged = fw.call(model, images)  # leaves PyTorch's in evaluation mode: fit must set its own
    fw.close(model(images), fw.numpy(judged), of="logits where training is not named")
    head, features = fw.weights(model.head), fw.numpy(fw.call(model.backbone, images))
    fw.close(judged, features @ head["kernel"] + head["bias"], of="logits in evaluation mode, by what batch norm keeps")
    sizes = changes_in_fit(impl, fw, model, images, labels, 2, rate=0.01)
    still = [kind for kind, size in sizes.items() if size < 1e-4]
    assert not still, f"a fit left alone {still}: batch norm's statistics move, too, in training mode"


@unfrozen
def test_all_but_the_norms_is_unfrozen(impl, fw, rng):
    model, images, _ = made(impl, fw, rng, unfreeze=True)
    free = trainable(fw, model)
    told = f"{free} numbers are trainable; the head has {HEAD}, the convolutions {CONVOLUTIONS}, the norms {NORMS}"
    assert free == HEAD + CONVOLUTIONS, told
    check_training_mode(fw, model, images, of="logits in training mode, unfrozen")


@unfrozen
def test_the_norms_stay_as_they_are_in_a_fit(impl, fw, rng):
    model, images, labels = made(impl, fw, rng, unfreeze=True)
    sizes = changes_in_fit(impl, fw, model, images, labels, 3, rate=0.05, backbone_rate=0.05, batch_size=8)
    moved = {kind: size for kind, size in sizes.items() if kind.startswith("norm") and size}
    assert not moved, f"a fit of an unfrozen backbone changed its batch norms: {moved}"
    assert sizes["convolution's kernel"] > 0.02, f"nine steps have moved the kernels by {sizes}: are they unfrozen?"


@unfrozen
@pytest.mark.parametrize("backbone_rate", [1e-4, None])
def test_head_and_backbone_have_rates_of_their_own(impl, fw, rng, backbone_rate):
    """Adam's first step moves every number by its rate, whatever the size of its gradient."""
    model, images, labels = made(impl, fw, rng, unfreeze=True)
    sizes = changes_in_fit(impl, fw, model, images, labels, 1, rate=1e-2, backbone_rate=backbone_rate)
    for part, rate in (("head's bias", 1e-2), ("convolution's kernel", backbone_rate or 1e-2)):
        told = f"with rate=0.01 and backbone_rate={backbone_rate} one step of Adam should move the {part} by {rate:g}"
        assert 0.9 * rate < sizes[part] < 1.1 * rate, f"{told}, and not by {sizes[part]:.3g}"


@cache
def digits():
    """Each digit at a random place of a field of 12 by 12: images (1797, 12, 12, 1) and labels."""
    rng, (pixels, labels) = np.random.default_rng(0), data.digits()
    images, places = np.zeros((len(labels), 12, 12, 1), "float32"), rng.integers(0, 5, (len(labels), 2))
    for image, digit, (top, left) in zip(images, pixels.reshape(-1, 8, 8), places, strict=True):
        image[top : top + 8, left : left + 8, 0] = digit
    return images, labels


def accuracy(fw, model, images, labels):
    return float(np.mean(fw.numpy(fw.call(model, fw.images(images))).argmax(axis=1) == labels))


def taught_old(impl, fw, seed):
    """The backbone of a net that has learnt the digits 0 to 4, and its accuracy on them."""
    fw.seed(seed)
    images, labels = digits()
    old = np.flatnonzero(labels < 5)[:896]  # whole batches: TensorFlow traces one size
    model = impl.Classifier(official(fw).small_backbone(), NUMBERS, 5, pretrained=False)
    impl.fit(model, fw.images(images[old]), fw.array(labels[old]), 6, np.random.default_rng(seed), 5e-3, batch_size=64)
    return model.backbone, accuracy(fw, model, images[old], labels[old])


def transferred(impl, fw, backbone, seed):
    """Accuracy on the digits 5 to 9, ten labels of each: the new head alone, then unfrozen, and a net from scratch."""
    fw.seed(seed)
    rng, (images, labels) = np.random.default_rng(seed), digits()
    few = np.concatenate([rng.choice(np.flatnonzero(labels == digit), 10, replace=False) for digit in range(5, 10)])
    rest = np.setdiff1d(np.flatnonzero(labels >= 5), few)
    given, wanted = fw.images(images[few]), fw.array(labels[few] - 5)

    copied = official(fw).small_backbone()
    for new, old in zip(fw.variables(copied).values(), fw.variables(backbone).values(), strict=True):
        fw.assign(new, fw.numpy(old))
    model = impl.Classifier(copied, NUMBERS, 5, pretrained=True)
    impl.fit(model, given, wanted, 20, rng, 3e-2, batch_size=50)
    head = accuracy(fw, model, images[rest], labels[rest] - 5)
    model.unfreeze()
    impl.fit(model, given, wanted, 15, rng, 2e-3, backbone_rate=1e-3, batch_size=25)
    scratch = impl.Classifier(official(fw).small_backbone(), NUMBERS, 5, pretrained=False)
    impl.fit(scratch, given, wanted, 30, rng, 5e-3, batch_size=25)
    return head, *(accuracy(fw, net, images[rest], labels[rest] - 5) for net in (model, scratch))


@pytest.mark.timeout(120)  # a few seconds, on a machine with nothing else to do
@transfer_pays
def test_ten_labels_a_class_are_worth_more_after_other_digits(impl, fw):
    """Ten seeds in each framework: head alone 0.41 to 0.59, fine-tuned 0.51 to 0.65, from scratch 0.36 to 0.49.

    With the same labels fine-tuning is ahead of training from scratch by 0.08 or more. Guessing gives 0.20.
    """
    backbone, old = taught_old(impl, fw, seed=0)
    assert old > 0.75, f"the digits 0 to 4 should be learnt first; the accuracy on them is {old:.2f}"
    seeds = range(2 if fw.traces else 3)  # TensorFlow's traces take longer than all the steps
    results = np.array([transferred(impl, fw, backbone, seed) for seed in seeds])
    head, tuned, scratch = results.mean(axis=0)
    told = f"over {len(seeds)} seeds: head alone {head:.2f}, fine-tuned {tuned:.2f}, from scratch {scratch:.2f}"
    assert scratch > 0.25, f"{told}. From scratch is hardly better than guessing, 0.20: does `fit` train the whole net?"
    assert np.all(results[:, 1] > results[:, 2]), f"{told}. With the same labels transfer should win for every seed"
    assert tuned - scratch > 0.05, f"{told}. Transfer should gain more than 0.05"
    assert tuned > head, f"{told}. Fine-tuning should add to the head"
