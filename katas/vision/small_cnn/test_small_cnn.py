"""Levels of the small convolutional classifier.

Every expected value comes from the formulas of `cells` and `net_by_hand`, in float64 NumPy, on the weights that the net
under test holds. Images are (batch, height, width, channel).
"""

from functools import cache, partial

import numpy as np
import pytest

from dojo import level
from dojo.testing import data

cell_means = level(1, "cells", points=2)
shapes = level(2, "shapes")
whole_net = level(3, "net", points=2)
any_size = level(4, "any size", points=2)
drops = level(5, "dropout", points=2)
gradients = level(6, "gradients")
training = level(7, "training", points=2)
learns = level(8, "learns", points=2)

# Batch, height and width; the grid has three cells a side.
SHAPES = {"odd": (2, 7, 10), "one_image": (1, 9, 5), "smaller_than_the_grid": (3, 2, 3), "one_pixel": (2, 1, 1)}

busy = pytest.mark.timeout(60)  # TensorFlow may trace a function for each size of batch


def cells(x, grid):
    """The mean of each cell, cell by cell."""
    height, width = x.shape[1:3]
    output = np.zeros((len(x), grid, grid, x.shape[-1]))
    for i, j in np.ndindex(grid, grid):
        rows = slice(i * height // grid, -(-(i + 1) * height // grid))
        columns = slice(j * width // grid, -(-(j + 1) * width // grid))
        output[:, i, j] = x[:, rows, columns].mean(axis=(1, 2))
    return output


def convolved(fw, layer, x):
    """A 3×3 convolution that keeps the size."""
    weights, (height, width) = fw.weights(layer), x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = np.ndindex(3, 3)
    return sum(x[:, i : i + height, j : j + width] @ weights["kernel"][i, j] for i, j in taps) + weights["bias"]


def halved(x):
    """The largest of each 2 × 2 pixels, or of those that there are."""
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), constant_values=-np.inf)
    return np.maximum.reduce([x[:, i::2, j::2] for i, j in np.ndindex(2, 2)])


def dense(fw, layer, x):
    weights = fw.weights(layer)
    return x @ weights["kernel"] + weights["bias"]


def hidden_by_hand(fw, net, images, grid):
    x = halved(np.maximum(convolved(fw, net.conv1, images), 0))
    x = halved(np.maximum(convolved(fw, net.conv2, x), 0))
    row = fw.own_layout(cells(x, grid)).reshape(len(images), -1)
    return np.maximum(dense(fw, net.hidden, row), 0)


def net_by_hand(fw, net, images, grid):
    return dense(fw, net.head, hidden_by_hand(fw, net, images, grid))


def cross_entropy(logits, labels):
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])


def fresh(impl, fw, grid=3, **dropout):
    """A net for images of 2 channels with 4 classes, a random number in every weight: the same ones each time."""
    net = fw.to_device(impl.SmallCNN(2, 4, (3, 5), 6, grid, **dropout))
    fw.call(net, fw.images(np.ones((1, 4, 4, 2))))
    return fw.randomise(net, np.random.default_rng(0), gain=2)


made = cache(fresh)  # for tests that do not train it


def check_net(impl, fw, rng, shape, grid):
    images, net = rng.standard_normal((*shape, 2)), made(impl, fw, grid)
    tensor, expected = fw.images(images), net_by_hand(fw, net, images, grid)
    logits = fw.call(net, tensor)
    fw.close(logits, expected, of="logits", atol=1e-4)
    fw.check_unchanged(tensor, fw.own_layout(images), of="images")
    fw.close(net(tensor), expected, of="logits where training is not named", atol=1e-4)
    return logits


@cell_means
@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("size", [(6, 6), (7, 5), (1, 2), (4, 1)], ids=["even", "odd", "low", "narrow"])
def test_each_cell_is_the_mean_of_its_pixels(impl, fw, rng, size, grid):
    features = rng.standard_normal((2, *size, 3))
    fw.close(impl.adaptive_mean(fw.images(features), grid), fw.own_layout(cells(features, grid)), of="cells")


@shapes
def test_one_row_of_logits_for_each_image_whatever_its_size(impl, fw, rng):
    net = made(impl, fw)
    for height, width in ((12, 12), (24, 24), (13, 6), (5, 9)):
        logits = fw.call(net, fw.images(rng.standard_normal((3, height, width, 2))))
        fw.check_shape(logits, (3, 4), of=f"logits of 3 images of {height} × {width} pixels")


@shapes
def test_no_weight_is_missing_and_none_is_wasted(impl, fw):
    net = impl.SmallCNN()
    fw.call(net, fw.images(np.ones((1, 32, 32, 3))))
    expected = (27 + 1) * 32 + (9 * 32 + 1) * 64 + (16 * 64 + 1) * 128 + (128 + 1) * 10
    found = sum(int(np.prod(tensor.shape)) for tensor in fw.parameters(net).values())
    assert found == expected, f"by default the net has {expected} trainable numbers; yours has {found}"


@shapes
def test_a_net_without_cells_is_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.SmallCNN(grid=0)


@whole_net
@pytest.mark.parametrize("grid", [1, 2])
def test_the_net(impl, fw, rng, grid):
    check_net(impl, fw, rng, (4, 8, 8), grid)


@any_size
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_images_of_any_size(impl, fw, rng, shape):
    check_net(impl, fw, rng, shape, grid=3)


@any_size
def test_a_photograph(impl, fw):
    """A real one, every fourth of its 427 × 640 pixels, and a strip of it."""
    photograph = data.photograph()[None, ::4, ::4]
    net = impl.SmallCNN(3, 4, (2, 2), 5, grid=4)
    fw.call(net, fw.images(photograph[:, :8, :8]))
    for name, images in (("photograph", photograph), ("strip", photograph[:, 50:63])):
        expected = net_by_hand(fw, net, images, 4)
        fw.close(fw.call(net, fw.images(images)), expected, of=f"logits of the {name}", atol=1e-4)


@drops
@pytest.mark.parametrize("dropout", [{"dropout": 0.5}, {}], ids=["half", "default"])
def test_in_training_hidden_numbers_are_dropped_and_the_mean_is_kept(impl, fw, rng, dropout):
    """One image, 4000 times: mean and spread of each logit against their closed forms. The default rate is 0.2."""
    image, net, rate = rng.standard_normal((1, 4, 4, 2)), made(impl, fw, 1, **dropout), dropout.get("dropout", 0.2)
    logits = fw.numpy(fw.call(net, fw.images(np.repeat(image, 4000, axis=0)), training=True)).astype("float64")
    terms = hidden_by_hand(fw, net, image, 1).T * fw.weights(net.head)["kernel"]
    spread = np.sqrt((terms**2).sum(axis=0) * rate / (1 - rate))
    expected, mean, found = net_by_hand(fw, net, image, 1)[0], logits.mean(axis=0), logits.std(axis=0)
    right = np.all(abs(mean - expected) < 6 * spread / np.sqrt(4000))
    assert right, f"in training mode the mean of the logits is {mean.round(3)}; it should stay {expected.round(3)}"
    told = f"where a part of {rate:g} of the hidden numbers is dropped, the logits spread by {spread.round(3)}"
    assert np.allclose(found, spread, rtol=0.1), f"{told}; yours spread by {found.round(3)}"


@drops
def test_in_evaluation_nothing_is_dropped(impl, fw, rng):
    images, net = rng.standard_normal((5, 6, 6, 2)), made(impl, fw, dropout=0.5)
    fw.call(net, fw.images(images), training=True)
    logits = fw.call(net, fw.images(images), training=False)
    fw.close(logits, net_by_hand(fw, net, images, 3), of="logits in evaluation mode", atol=1e-4)


@gradients
def test_gradients_come_back_to_the_images(impl, fw, rng):
    net = made(impl, fw)

    def by_hand(images):
        return net_by_hand(fw, net, fw.common_layout(images), 3)

    images = fw.own_layout(rng.standard_normal((3, 7, 6, 2)))
    fw.check_gradients(partial(fw.call, net), by_hand, [images], ["images"], rtol=1e-3, atol=1e-3, dtype="float32")


@training
@busy
@pytest.mark.parametrize("batch_size", [2, 7], ids=["batches_of_two", "one_batch"])
def test_the_loss_of_an_epoch_is_the_mean_over_its_images(impl, fw, rng, batch_size):
    """Without steps (a learning rate of zero) and without dropout every epoch has the same loss."""
    images, labels, net = rng.standard_normal((7, 5, 5, 2)), rng.integers(0, 4, 7), made(impl, fw, 1, dropout=0.0)
    expected = cross_entropy(net_by_hand(fw, net, images, 1), labels)
    losses = impl.train(net, fw.images(images), fw.array(labels), 2, batch_size, learning_rate=0.0)
    floats = isinstance(losses, list) and len(losses) == 2 and all(isinstance(loss, float) for loss in losses)
    assert floats, f"expected a list of 2 Python floats, one for each epoch, not {losses}"
    told = f"7 images in batches of {batch_size} have a mean cross-entropy of {expected:.4f}"
    assert np.allclose(losses, expected, rtol=1e-3), f"{told}; the losses of train are {np.round(losses, 4)}"


@training
@busy
def test_the_losses_are_those_before_the_steps_of_one_adam(impl, fw, rng):
    """All images in one batch, so that the order does not matter, beside the same steps written out."""
    images, labels = fw.images(rng.standard_normal((6, 5, 5, 2))), fw.array(rng.integers(0, 4, 6))
    expected = losses_by_hand(fw, fresh(impl, fw, 1, dropout=0.0), images, labels, steps=5, rate=0.02)
    losses = impl.train(fresh(impl, fw, 1, dropout=0.0), images, labels, 5, 6, learning_rate=0.02)
    told = "every step should take its own gradient alone, from one Adam"
    assert np.allclose(losses, expected, rtol=0.01), (
        f"losses {np.round(losses, 4)}, not {np.round(expected, 4)}: {told}"
    )


def losses_by_hand(fw, net, images, labels, steps, rate):
    """The cross-entropy before each step of the framework's Adam on all images."""
    optimiser, losses = fw.adam(net, rate), []

    def loss():
        return fw.cross_entropy(fw.call(net, images), labels)

    for _ in range(steps):
        losses.append(float(fw.numpy(loss())))
        fw.apply_gradients(optimiser, net, fw.gradients(loss, fw.parameters(net).values()))
    return losses


@training
@busy
def test_each_epoch_takes_every_image_once_in_an_order_of_its_own(impl, fw, rng):
    images, seen = rng.standard_normal((12, 5, 5, 2)).astype("float32"), []

    def note(given, training):
        if training:
            seen.append(fw.common_layout(given)[:, 0, 0, 0])

    fw.seed(None)  # with a seed Keras's own fit draws the same order in each epoch
    net = fw.watched(fresh(impl, fw, 1), (5, 5, 2), note)
    impl.train(net, fw.images(images), fw.array(rng.integers(0, 4, 12)), 3, 5)
    sizes = [len(numbers) for numbers in seen]
    assert sizes == [5, 5, 2] * 3, f"12 images in batches of 5, three times, are [5, 5, 2] * 3 images, not {sizes}"
    orders = np.concatenate(seen).reshape(3, 12)
    given = images[:, 0, 0, 0]
    once = np.array_equal(np.sort(orders), np.tile(np.sort(given), (3, 1)))
    assert once, "an epoch takes some image twice, and another one not at all"
    found = len({tuple(order) for order in [given, *orders]}) - 1
    assert found == 3, f"three epochs have an order each, and not that of the images; yours have {found} of their own"


@training
@busy
def test_hidden_numbers_are_dropped_while_training_and_not_while_measuring(impl, fw, rng):
    images, net = rng.standard_normal((40, 5, 5, 2)), made(impl, fw, 1, dropout=0.9)
    logits = net_by_hand(fw, net, images, 1)
    labels = np.where(np.arange(40) < 30, logits.argmax(axis=1), logits.argmin(axis=1))
    (loss,) = impl.train(net, fw.images(images), fw.array(labels), 1, 40, learning_rate=0.0)
    calm = cross_entropy(logits, labels)
    assert not np.isclose(loss, calm, rtol=1e-3), f"the loss is {calm:.4f}, as in evaluation mode"
    found = impl.accuracy(net, fw.images(images), fw.array(labels))
    assert isinstance(found, float), f"accuracy should be a Python float, not {type(found).__name__}"
    assert np.isclose(found, 0.75), f"30 of 40 labels are those of the largest logit: 0.75, accuracy says {found:.3f}"


@training
@busy
@pytest.mark.parametrize(("count", "steps"), [(32, 1), (33, 2)], ids=["one_batch", "one_more"])
def test_every_step_moves_the_weights_by_the_learning_rate(impl, fw, rng, count, steps):
    """As Adam's steps do, where all images are the same. By default a step takes 32 images, and the rate is 0.001."""
    images = fw.images(np.repeat(rng.standard_normal((1, 5, 5, 2)), count, axis=0))
    labels = fw.array(np.ones(count, int))
    net = impl.SmallCNN(2, 4, (3, 5), 6, 1, 0.0)
    fw.call(net, images)
    before = {name: fw.numpy(tensor) for name, tensor in fw.parameters(net).items()}
    impl.train(net, images, labels, 1)
    largest = max(np.abs(fw.numpy(tensor) - before[name]).max() for name, tensor in fw.parameters(net).items())
    told = f"{count} images are {steps} of the default steps, in which Adam moves a weight by {0.001 * steps}"
    assert np.isclose(largest, 0.001 * steps, rtol=0.1), f"{told}; yours move one by {largest:.4g} at most"


@learns
@pytest.mark.timeout(120)
def test_digits_are_read(impl, fw, rng):
    """1000 digits to train on, sorted, and 797 others: over ten seeds 0.957 to 0.985 of those are read.

    The baseline, the nearest of the ten mean images, reaches 0.888 to 0.912.
    """
    images, labels = data.digits()
    images, order = images.reshape(-1, 8, 8, 1), rng.permutation(len(images))
    known, new = order[:1000], order[1000:]
    known = known[np.argsort(labels[known], kind="stable")]

    net = impl.SmallCNN(1, 10, (16, 32), 64, grid=2)
    losses = impl.train(net, fw.images(images[known]), fw.array(labels[known]), 12, 50, learning_rate=0.005)
    reached = impl.accuracy(net, fw.images(images[new]), fw.array(labels[new]))
    right = fw.numpy(fw.call(net, fw.images(images[new]))).argmax(axis=1) == labels[new]
    assert np.isclose(reached, right.mean()), f"accuracy says {reached:.3f}; the logits say {right.mean():.3f}"

    means = np.stack([images[known][labels[known] == digit].mean(axis=0) for digit in range(10)])
    nearest = ((images[new][:, None] - means) ** 2).sum(axis=(2, 3, 4)).argmin(axis=1)
    baseline = np.mean(nearest == labels[new])
    assert baseline < 0.93, f"the nearest mean image should do worse; it reaches {baseline:.3f}"
    told = f"{reached:.3f} of the new digits are read rightly; the nearest mean image reads {baseline:.3f}"
    assert reached > 0.94, f"{told}, and 0.94 is asked for. The losses go from {losses[0]:.2f} to {losses[-1]:.2f}"


@pytest.mark.gpu
@whole_net
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    gpu.check_device(check_net(impl, gpu, rng, (4, 9, 6), grid=3))
