"""Levels of the small convolutional classifier.

Every expected value comes from the formulas of `cells` and `net_by_hand` below, in float64 NumPy, on the weights that
the net under test holds. Images are written as (batch, height, width, channel).
"""

from functools import cache

import numpy as np
import pytest

from dojo import level

cells_level = level(1, "cells", points=2)
shapes = level(2, "shapes")
net_level = level(3, "net", points=2)
any_size = level(4, "any size", points=2)
dropout_level = level(5, "dropout", points=2)
gradients_level = level(6, "gradients")
training_level = level(7, "training", points=2)
learns = level(8, "learns", points=2)

# ---------------------------------------------------------------- the formulas


def relu(x):
    return np.maximum(x, 0)


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
    x = halved(relu(convolved(fw, net.conv1, images)))
    x = halved(relu(convolved(fw, net.conv2, x)))
    row = own(fw, cells(x, grid)).reshape(len(images), -1)
    return relu(dense(fw, net.hidden, row))


def net_by_hand(fw, net, images, grid):
    return dense(fw, net.head, hidden_by_hand(fw, net, images, grid))


def cross_entropy(logits, labels):
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])


# ---------------------------------------------------------------- nets to test


def fresh(impl, fw, grid=3, **dropout):
    """A net for images of 2 channels with 4 classes, a random number in every weight: the same ones each time."""
    rng, net = np.random.default_rng(0), impl.SmallCNN(2, 4, (3, 5), 6, grid, **dropout)
    if fw.name == "torch":
        net.to(fw.device)
    fw.call(net, fw.images(np.ones((1, 4, 4, 2))))
    for layer in (net.conv1, net.conv2, net.hidden, net.head):
        weights = {name: rng.standard_normal(old.shape) / 2 for name, old in fw.weights(layer).items()}
        fw.set_weights(layer, weights)
    return net


@cache
def made(impl, fw, grid=3, **dropout):
    return fresh(impl, fw, grid, **dropout)


def own(fw, images):
    """Images in the framework's order of axes."""
    return images.transpose(0, 3, 1, 2) if fw.name == "torch" else images


def check_net(impl, fw, rng, shape, grid):
    images, net = rng.standard_normal((*shape, 2)), made(impl, fw, grid)
    tensor = fw.images(images)
    fw.close(fw.call(net, tensor), net_by_hand(fw, net, images, grid), of="logits", atol=1e-4)
    fw.check_unchanged(tensor, own(fw, images), of="images")
    if fw.name == "tensorflow":
        fw.close(net(tensor), net_by_hand(fw, net, images, grid), of="logits where training is not named", atol=1e-4)


# ---------------------------------------------------------------- levels


@cells_level
@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("size", [(6, 6), (7, 5), (1, 2), (4, 1)], ids=["even", "odd", "low", "narrow"])
def test_each_cell_is_the_mean_of_its_pixels(impl, fw, rng, size, grid):
    features = rng.standard_normal((2, *size, 3))
    fw.close(impl.adaptive_mean(fw.images(features), grid), own(fw, cells(features, grid)), of="cells")


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


@net_level
@pytest.mark.parametrize("grid", [1, 2])
def test_the_net(impl, fw, rng, grid):
    check_net(impl, fw, rng, (4, 8, 8), grid)


@any_size
@pytest.mark.parametrize(
    "shape",
    [(2, 7, 10), (1, 9, 5), (3, 2, 3), (2, 1, 1)],
    ids=["odd", "one_image", "smaller_than_the_grid", "one_pixel"],
)
def test_images_of_any_size(impl, fw, rng, shape):
    check_net(impl, fw, rng, shape, grid=3)


@any_size
def test_a_photograph(impl, fw):
    """A real one, every fourth of its 427 × 640 pixels, and a strip of it."""
    from sklearn.datasets import load_sample_image

    photograph = load_sample_image("china.jpg")[None, ::4, ::4] / 255
    net = impl.SmallCNN(3, 4, (2, 2), 5, grid=4)
    fw.call(net, fw.images(photograph[:, :8, :8]))
    for name, images in (("photograph", photograph), ("strip", photograph[:, 50:63])):
        fw.close(
            fw.call(net, fw.images(images)), net_by_hand(fw, net, images, 4), of=f"logits of the {name}", atol=1e-4
        )


@dropout_level
@pytest.mark.parametrize("dropout", [{"dropout": 0.5}, {}], ids=["half", "default"])
def test_in_training_hidden_numbers_are_dropped_and_the_mean_is_kept(impl, fw, rng, dropout):
    """One image, 4000 times: mean and spread of each logit against their closed forms. The default rate is 0.2."""
    image, net, rate = rng.standard_normal((1, 4, 4, 2)), made(impl, fw, 1, **dropout), dropout.get("dropout", 0.2)
    logits = fw.numpy(fw.call(net, fw.images(np.repeat(image, 4000, axis=0)), training=True)).astype("float64")
    terms = hidden_by_hand(fw, net, image, 1).T * fw.weights(net.head)["kernel"]
    spread = np.sqrt((terms**2).sum(axis=0) * rate / (1 - rate))
    expected = net_by_hand(fw, net, image, 1)[0]
    assert np.all(abs(logits.mean(axis=0) - expected) < 6 * spread / np.sqrt(4000)), (
        f"in training mode the mean of the logits is {logits.mean(axis=0).round(3)}; it should stay {expected.round(3)}"
    )
    assert np.allclose(logits.std(axis=0), spread, rtol=0.1), (
        f"in training mode the logits spread by {logits.std(axis=0).round(3)}; by dropping a part of {rate:g} of the "
        f"hidden numbers they spread by {spread.round(3)}"
    )


@dropout_level
def test_in_evaluation_nothing_is_dropped(impl, fw, rng):
    images, net = rng.standard_normal((5, 6, 6, 2)), made(impl, fw, dropout=0.5)
    fw.call(net, fw.images(images), training=True)
    logits = fw.call(net, fw.images(images), training=False)
    fw.close(logits, net_by_hand(fw, net, images, 3), of="logits in evaluation mode", atol=1e-4)


@gradients_level
def test_gradients_come_back_to_the_images(impl, fw, rng):
    net = made(impl, fw)

    def by_hand(images):
        return net_by_hand(fw, net, images.transpose(0, 2, 3, 1) if fw.name == "torch" else images, 3)

    fw.check_gradients(  # the net computes in float32, hence the tolerance
        lambda images: cast(fw, fw.call(net, cast(fw, images, "float32")), "float64"),
        by_hand,
        [own(fw, rng.standard_normal((3, 7, 6, 2)))],
        names=["images"],
        rtol=1e-3,
        atol=1e-3,
    )


def cast(fw, tensor, dtype):
    if fw.name == "torch":
        return tensor.to(fw.array(0.0, dtype).dtype)
    import tensorflow as tf

    return tf.cast(tensor, dtype)


@training_level
@pytest.mark.timeout(60)  # TensorFlow may trace a function for each size of batch
@pytest.mark.parametrize("batch_size", [2, 7], ids=["batches_of_two", "one_batch"])
def test_the_loss_of_an_epoch_is_the_mean_over_its_images(impl, fw, rng, batch_size):
    """Without steps (a learning rate of zero) and without dropout every epoch has the same loss."""
    images, labels, net = rng.standard_normal((7, 5, 5, 2)), rng.integers(0, 4, 7), made(impl, fw, 1, dropout=0.0)
    expected = cross_entropy(net_by_hand(fw, net, images, 1), labels)
    losses = impl.train(net, fw.images(images), fw.array(labels), 2, batch_size, learning_rate=0.0)
    assert isinstance(losses, list) and len(losses) == 2 and all(isinstance(loss, float) for loss in losses), (
        f"expected a list of 2 Python floats, one for each epoch, not {losses}"
    )
    for loss in losses:
        assert np.isclose(loss, expected, rtol=1e-3), (
            f"7 images in batches of {batch_size} have a mean cross-entropy of {expected:.4f}; train says {loss:.4f}"
        )


@training_level
@pytest.mark.timeout(60)  # TensorFlow may trace a function for each size of batch
def test_the_losses_are_those_before_the_steps_of_one_adam(impl, fw, rng):
    """All images in one batch, so that the order does not matter, beside the same steps written out."""
    images, labels = fw.images(rng.standard_normal((6, 5, 5, 2))), fw.array(rng.integers(0, 4, 6))
    expected = losses_by_hand(fw, fresh(impl, fw, 1, dropout=0.0), images, labels, steps=5, rate=0.02)
    losses = impl.train(fresh(impl, fw, 1, dropout=0.0), images, labels, 5, 6, learning_rate=0.02)
    assert np.allclose(losses, expected, rtol=0.01), (
        f"five epochs of one batch have the losses {np.round(expected, 4)} before their steps, not "
        f"{np.round(losses, 4)}. Does every step take its own gradient alone, from one Adam that goes on?"
    )


def losses_by_hand(fw, net, images, labels, steps, rate):
    """The cross-entropy before each step of Adam on all images; the framework gives the gradients, NumPy steps."""
    losses, moments = [], dict.fromkeys(fw.parameters(net), (0, 0))
    for step in range(1, steps + 1):
        loss, gradients = slopes(fw, net, images, labels)
        losses.append(loss)
        for (name, tensor), gradient in zip(fw.parameters(net).items(), gradients, strict=True):
            first = 0.9 * moments[name][0] + 0.1 * gradient
            second = 0.999 * moments[name][1] + 0.001 * gradient**2
            moments[name] = first, second
            move(fw, tensor, -rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8))
    return losses


def slopes(fw, net, images, labels):
    """The mean cross-entropy, and its gradient for each trainable tensor as an array."""
    tensors = list(fw.parameters(net).values())
    if fw.name == "torch":
        import torch

        loss = torch.nn.functional.cross_entropy(fw.call(net, images), labels)
        return loss.item(), [fw.numpy(gradient) for gradient in torch.autograd.grad(loss, tensors)]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        logits = fw.call(net, images)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    return float(loss), [fw.numpy(gradient) for gradient in tape.gradient(loss, [tensor.value for tensor in tensors])]


def move(fw, tensor, change):
    if fw.name == "torch":
        tensor.data += fw.array(change)
    else:
        tensor.assign_add(change)


@training_level
@pytest.mark.timeout(60)  # TensorFlow may trace a function for each size of batch
def test_each_epoch_takes_every_image_once_in_an_order_of_its_own(impl, fw, rng):
    images, seen = rng.standard_normal((12, 5, 5, 2)).astype("float32"), []

    class Watched(impl.SmallCNN):
        """Notes the first number of each image that it is given in training mode."""

        def forward(self, images):  # PyTorch's
            if self.training:
                seen.append(fw.numpy(images[:, 0, 0, 0]))
            return super().forward(images)

        def call(self, images, training=False):  # Keras's
            import tensorflow as tf

            if training:
                tf.py_function(lambda numbers: seen.append(numbers.numpy()), [images[:, 0, 0, 0]], [])
            return super().call(images, training=training)

    if fw.name == "tensorflow":
        import tensorflow as tf

        tf.random.set_seed(None)  # with a seed Keras's own fit draws the same order in each epoch
    net = Watched(2, 4, (3, 5), 6, 1)
    net.supports_jit = False  # of Keras: a compiled step could not note anything
    fw.call(net, fw.images(images))
    impl.train(net, fw.images(images), fw.array(rng.integers(0, 4, 12)), 3, 5)
    sizes = [len(numbers) for numbers in seen]
    assert sizes == [5, 5, 2] * 3, f"12 images in batches of 5, three times, are [5, 5, 2] * 3 images, not {sizes}"
    orders = np.concatenate(seen).reshape(3, 12)
    assert np.array_equal(np.sort(orders), np.tile(np.sort(images[:, 0, 0, 0]), (3, 1))), (
        "an epoch takes some image twice, and another one not at all"
    )
    as_given = sum(np.array_equal(order, images[:, 0, 0, 0]) for order in orders)
    assert not as_given, f"{as_given} of three epochs take the images in the order in which they lie: draw one"
    found = len({tuple(order) for order in orders})
    assert found == 3, f"three epochs have an order each; yours have {found} different ones together"


@training_level
@pytest.mark.timeout(60)  # TensorFlow may trace a function for each size of batch
def test_hidden_numbers_are_dropped_while_training_and_not_while_measuring(impl, fw, rng):
    images, net = rng.standard_normal((40, 5, 5, 2)), made(impl, fw, 1, dropout=0.9)
    logits = net_by_hand(fw, net, images, 1)
    labels = np.where(np.arange(40) < 30, logits.argmax(axis=1), logits.argmin(axis=1))
    (loss,) = impl.train(net, fw.images(images), fw.array(labels), 1, 40, learning_rate=0.0)
    calm = cross_entropy(logits, labels)
    assert not np.isclose(loss, calm, rtol=1e-3), (
        f"the loss is {calm:.4f}, as in evaluation mode: train in training mode"
    )
    found = impl.accuracy(net, fw.images(images), fw.array(labels))
    assert isinstance(found, float), f"accuracy should be a Python float, not {type(found).__name__}"
    assert np.isclose(found, 0.75), f"30 of 40 labels are those of the largest logit: 0.75, accuracy says {found:.3f}"


@training_level
@pytest.mark.timeout(60)  # TensorFlow may trace a function for each size of batch
@pytest.mark.parametrize(("count", "steps"), [(32, 1), (33, 2)], ids=["one_batch", "one_more"])
def test_every_step_moves_the_weights_by_the_learning_rate(impl, fw, rng, count, steps):
    """As Adam's steps do, where all images are the same. By default a step takes 32 images, and the rate is 0.001."""
    images, labels = (
        fw.images(np.repeat(rng.standard_normal((1, 5, 5, 2)), count, axis=0)),
        fw.array(np.ones(count, int)),
    )
    net = impl.SmallCNN(2, 4, (3, 5), 6, 1, 0.0)
    fw.call(net, images)
    before = {name: fw.numpy(tensor) for name, tensor in fw.parameters(net).items()}
    impl.train(net, images, labels, 1)
    after = fw.parameters(net)
    largest = max(np.abs(fw.numpy(after[name]) - old).max() for name, old in before.items())
    assert np.isclose(largest, 0.001 * steps, rtol=0.1), (
        f"{count} images are {steps} of the default steps, and Adam moves a weight by {0.001 * steps} in them; "
        f"yours move one by {largest:.4g} at most"
    )


@learns
@pytest.mark.timeout(120)
def test_digits_are_read(impl, fw, rng):
    """scikit-learn's digits: 1000 to train on, sorted by digit, and the other 797 to be tested.

    Over ten seeds the accuracy is 0.957 to 0.976 in PyTorch, 0.970 to 0.985 in TensorFlow. The baseline, the nearest of
    the ten mean images, reaches 0.888 to 0.912.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images, order = images.reshape(-1, 8, 8, 1) / 16, rng.permutation(len(images))
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
    assert reached > 0.94, (
        f"{reached:.3f} of the new digits are read rightly after losses from {losses[0]:.2f} to {losses[-1]:.2f}; 0.94 "
        f"is asked for, and the nearest mean image reaches {baseline:.3f}"
    )


@pytest.mark.gpu
@net_level
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    images, net = rng.standard_normal((4, 9, 6, 2)), made(impl, gpu)
    logits = gpu.call(net, gpu.images(images))
    gpu.check_device(logits)
    gpu.close(logits, net_by_hand(gpu, net, images, 3), of="logits", atol=1e-4)
