"""Levels of the mixup and CutMix kata. Every expected value comes from the functions `…_by_hand`, in float64 NumPy."""

import math

import numpy as np
import pytest

from dojo import level
from dojo.testing import data

shapes_level = level(1, "shapes")
draw_and_blend = level(2, "draw and blend", points=2)
the_box = level(3, "the box")
paste = level(4, "paste", points=2)
mixed_loss = level(5, "the mixed loss", points=2)
gradients = level(6, "gradients", autograd=True)
no_loops = level(7, "no loops")
between_two_digits = level(8, "between two digits", points=2, autograd=True)

SHAPES = {"images": (4, 6, 9, 3), "odd": (3, 5, 7, 1), "vectors": (5, 8), "one": (1, 1, 1, 1)}
# height, width, lam, center: the sides are no whole numbers before they are rounded down, or are exact.
BOXES = {
    "inside": (12, 10, 0.75, (6, 5)),
    "odd sides": (11, 15, 0.75, (5, 7)),
    "over the top": (12, 10, 0.75, (0, 5)),
    "over the bottom": (12, 10, 0.75, (11, 5)),
    "over the left": (12, 10, 0.75, (6, 1)),
    "over the right": (12, 10, 0.75, (6, 9)),
    "corner": (9, 14, 0.4, (8, 0)),
    "whole image": (6, 8, 0.0, (3, 4)),
    "quarter of the image": (6, 8, 0.0, (0, 0)),
    "no box": (6, 8, 1.0, (2, 7)),
    "one pixel": (1, 1, 0.0, (0, 0)),
}
each_box = pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)


def blend_by_hand(x, order, lam):
    return np.stack([lam * x[i] + (1 - lam) * x[partner] for i, partner in enumerate(order)])


def box_by_hand(height, width, lam, center):
    """Top, bottom, left and right: each side is √(1 - lam) of the image's, around the centre, cut at the edges."""
    edges = []
    for size, middle in ((height, center[0]), (width, center[1])):
        side = math.floor(size * math.sqrt(1 - lam))
        first = middle - side // 2
        edges += [max(first, 0), min(first + side, size)]
    return tuple(edges)


def cut_by_hand(images, order, lam, center):
    """Paste pixel by pixel, and count the pixels that stayed: the mixed images and the share that stayed."""
    height, width = images.shape[1:3]
    top, bottom, left, right = box_by_hand(height, width, lam, center)
    mixed, stayed = images.copy(), height * width
    for row in range(top, bottom):
        for column in range(left, right):
            mixed[:, row, column] = images[order, row, column]
            stayed -= 1
    return mixed, stayed / (height * width)


def loss_by_hand(logits, labels, order, lam):
    log_p = logits - np.logaddexp.reduce(np.asarray(logits, "float64"), axis=1, keepdims=True)
    rows = [lam * log_p[i, labels[i]] + (1 - lam) * log_p[i, labels[order[i]]] for i in range(len(labels))]
    return -np.mean(rows)


def share_is(actual, expected, of="lam"):
    assert actual is not None, f"{of}: nothing came back. Is a return statement missing?"
    assert float(actual) == pytest.approx(expected, rel=1e-6, abs=1e-6), f"{of} should be {expected:g}, not {actual}"


def check_draw(fw, found, lam, order, center):
    share_is(found[0], lam)
    fw.close(found[1], order, of="order")
    assert tuple(map(int, found[2])) == center, f"center should be {center}, not {found[2]}"


def check_box(impl, height, width, lam, center):
    box, expected = impl.cut_box(height, width, lam, center), box_by_hand(height, width, lam, center)
    assert box is not None, "cut_box: nothing came back. Is a return statement missing?"
    assert tuple(map(int, box)) == expected, (
        f"height {height}, width {width}, lam {lam:.4f}, center {center}: "
        f"the box (top, bottom, left, right) should be {expected}, not {box}"
    )


def check_cut(impl, fw, images, order, lam, center, dtype=None):
    """Pasting copies the very values, and leaves the images as they were."""
    images, order = images.astype(dtype or "float32"), np.array(order)
    given = fw.images(images, dtype)
    mixed, share = impl.cutmix(given, fw.array(order), lam, center)
    expected, stayed = cut_by_hand(images, order, lam, center)
    fw.close(mixed, fw.own_layout(expected), of="mixed images", dtype=dtype, rtol=0, atol=0)
    fw.check_unchanged(given, fw.own_layout(images), of="images")
    return share, stayed


def check_loss(impl, fw, rng, logits, lam=0.3, dtype=None):
    labels, order = rng.integers(logits.shape[1], size=len(logits)), rng.permutation(len(logits))
    loss = impl.mixed_loss(fw.array(logits, dtype), fw.array(labels), fw.array(order), lam)
    fw.close(loss, loss_by_hand(logits, labels, order, lam), of="loss", dtype=dtype)


def check_refused(impl, fw, rng, order, lam):
    images, order = fw.images(rng.random((3, 4, 5, 2))), fw.array(np.array(order))
    logits, labels = fw.array(rng.random((3, 4))), fw.array(np.array([0, 3, 1]))
    with pytest.raises(ValueError):
        impl.mixup(images, order, lam)
    with pytest.raises(ValueError):
        impl.cutmix(images, order, lam, (1, 1))
    with pytest.raises(ValueError):
        impl.mixed_loss(logits, labels, order, lam)


@shapes_level
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_blend_has_the_shape_of_the_batch(impl, fw, rng, shape):
    order = fw.array(rng.permutation(shape[0]))
    fw.check_shape(impl.mixup(fw.array(rng.random(shape)), order, 0.3), shape, of="mixed batch")


@shapes_level
@pytest.mark.parametrize("shape", [(4, 6, 9, 3), (1, 5, 2, 1)], ids=["colour", "grey"])
def test_a_pasted_batch_has_the_shape_of_the_batch(impl, fw, rng, shape):
    images, order = fw.images(rng.random(shape)), fw.array(rng.permutation(shape[0]))
    mixed, _ = impl.cutmix(images, order, 0.5, (3, 1))
    fw.check_shape(mixed, tuple(images.shape), of="mixed images")


@shapes_level
def test_the_loss_is_one_number(impl, fw, rng):
    labels, order = fw.array(np.array([0, 2, 1])), fw.array(np.array([2, 0, 1]))
    loss = impl.mixed_loss(fw.array(rng.standard_normal((3, 4))), labels, order, 0.3)
    fw.check_shape(loss, (), of="loss")


@shapes_level
@pytest.mark.parametrize("lam", [-0.1, 1.1])
def test_a_share_outside_of_zero_to_one_is_refused(impl, fw, rng, lam):
    check_refused(impl, fw, rng, [1, 2, 0], lam)


@shapes_level
@pytest.mark.parametrize("order", [[1, 0], [1, 0, 2, 0]], ids=["short", "long"])
def test_an_order_that_does_not_fit_the_batch_is_refused(impl, fw, rng, order):
    check_refused(impl, fw, rng, order, 0.5)


@shapes_level
@pytest.mark.parametrize("count", [1, 2, 4])
def test_labels_that_do_not_fit_the_logits_are_refused(impl, fw, rng, count):
    labels, order = fw.array(np.zeros(count, int)), fw.array(np.array([1, 2, 0]))
    with pytest.raises(ValueError):
        impl.mixed_loss(fw.array(rng.random((3, 4))), labels, order, 0.5)


@shapes_level
def test_a_negative_alpha_is_refused(impl, rng, fw):
    with pytest.raises(ValueError):
        impl.draw(rng, 3, 4, 5, alpha=-1.0)


@draw_and_blend
@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("size", [(6, 5, 9), (1, 1, 1)], ids=["batch", "one"])
def test_the_numbers_are_drawn_in_the_order_of_the_specification(impl, fw, size, alpha):
    batch, height, width = size
    for seed in range(5):
        rng = np.random.default_rng(seed)
        expected = rng.beta(alpha, alpha), rng.permutation(batch), (rng.integers(height), rng.integers(width))
        check_draw(fw, impl.draw(np.random.default_rng(seed), batch, height, width, alpha), *expected)


@draw_and_blend
def test_alpha_is_one_by_default(impl, fw):
    lam, _, _ = impl.draw(np.random.default_rng(3), 6, 5, 9)
    share_is(lam, np.random.default_rng(3).beta(1, 1))


@draw_and_blend
def test_alpha_zero_draws_no_share_and_mixes_nothing(impl, fw):
    rng = np.random.default_rng(7)
    expected = 1.0, rng.permutation(6), (rng.integers(5), rng.integers(9))
    check_draw(fw, impl.draw(np.random.default_rng(7), 6, 5, 9, alpha=0.0), *expected)


@draw_and_blend
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("lam", [0.3, 0.85])
def test_every_image_is_blended_with_its_partner(impl, fw, rng, shape, lam):
    x, order = rng.standard_normal(shape), rng.permutation(shape[0])
    mixed = impl.mixup(fw.array(x), fw.array(order), lam)
    fw.close(mixed, blend_by_hand(x, order, lam), of="mixed batch")


@draw_and_blend
def test_the_ends_are_the_batch_itself_and_its_partners(impl, fw, rng):
    x, order = rng.standard_normal((4, 3)).astype("float32"), np.array([2, 0, 3, 1])
    fw.close(impl.mixup(fw.array(x), fw.array(order), 1.0), x, of="mixed batch at lam 1")
    fw.close(impl.mixup(fw.array(x), fw.array(order), 0.0), x[order], of="mixed batch at lam 0")


@draw_and_blend
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_a_blend_keeps_the_dtype(impl, fw, rng, dtype):
    x, order = rng.standard_normal((4, 3, 3)), np.array([2, 0, 3, 1])
    mixed = impl.mixup(fw.array(x, dtype), fw.array(order), 0.3)
    fw.close(mixed, blend_by_hand(x, order, 0.3), of="mixed batch", dtype=dtype)


@draw_and_blend
def test_a_blend_leaves_the_batch_as_it_was(impl, fw, rng):
    x = rng.standard_normal((4, 3, 3))
    batch = fw.array(x)
    impl.mixup(batch, fw.array(np.array([2, 0, 3, 1])), 0.3)
    fw.check_unchanged(batch, x, of="batch")


@the_box
@each_box
def test_the_box_is_cut_at_the_edges_of_the_image(impl, fw, box):
    check_box(impl, *box)


@the_box
def test_boxes_of_any_size_and_place(impl, fw, rng):
    for _ in range(100):
        (height, width), lam = map(int, rng.integers(1, 40, size=2)), float(rng.random())
        sides = np.array([height, width]) * math.sqrt(1 - lam)
        if np.all(np.abs(sides - np.round(sides)) > 1e-3):  # nearer, the rounding of the root may decide
            check_box(impl, height, width, lam, (int(rng.integers(height)), int(rng.integers(width))))


@paste
@each_box
def test_the_box_shows_the_partner_and_the_rest_stays(impl, fw, rng, box):
    height, width, lam, center = box
    check_cut(impl, fw, rng.standard_normal((4, height, width, 2)), [2, 0, 3, 1], lam, center)


@paste
@each_box
def test_the_share_is_counted_from_the_pixels_that_stayed(impl, fw, rng, box):
    height, width, lam, center = box
    shares = check_cut(impl, fw, rng.standard_normal((3, height, width, 1)), [2, 0, 1], lam, center)
    share_is(*shares, of="the share after the cut")


@paste
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_pasting_keeps_the_dtype(impl, fw, rng, dtype):
    check_cut(impl, fw, rng.standard_normal((3, 6, 5, 2)), [2, 0, 1], 0.4, (2, 1), dtype)


@paste
@pytest.mark.parametrize("order", [[2, 0, 3, 1], [0, 1, 2, 3]], ids=["shuffled", "themselves"])
def test_pasting_leaves_the_images_as_they_were(impl, fw, rng, order):
    check_cut(impl, fw, rng.standard_normal((4, 6, 5, 2)), order, 0.4, (2, 1))


@mixed_loss
@pytest.mark.parametrize("lam", [0.0, 0.3, 0.85, 1.0])
@pytest.mark.parametrize("size", [(7, 5), (1, 3), (2, 1)], ids=["batch", "one", "one class"])
def test_both_labels_count_by_their_share(impl, fw, rng, size, lam):
    check_loss(impl, fw, rng, rng.standard_normal(size) * 3, lam)


@mixed_loss
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_the_loss_keeps_the_dtype(impl, fw, rng, dtype):
    check_loss(impl, fw, rng, rng.standard_normal((6, 4)), dtype=dtype)


@mixed_loss
def test_large_logits_do_not_overflow(impl, fw, rng):
    check_loss(impl, fw, rng, rng.standard_normal((6, 4)) * 1000)


@gradients
def test_the_gradient_reaches_an_image_and_its_partner(impl, fw, rng):
    x, order = rng.standard_normal((4, 3, 2)), np.array([2, 0, 3, 1])
    fw.check_gradients(
        lambda batch: impl.mixup(batch, fw.array(order), 0.3),
        lambda batch: blend_by_hand(batch, order, 0.3),
        [x],
        names=("the batch",),
    )


@gradients
def test_the_gradient_goes_around_the_box_and_through_it(impl, fw, rng):
    images, order, center = rng.standard_normal((3, 5, 4, 2)), np.array([2, 0, 1]), (1, 3)
    fw.check_gradients(
        lambda tensor: impl.cutmix(tensor, fw.array(order), 0.4, center)[0],
        lambda array: fw.own_layout(cut_by_hand(fw.common_layout(array), order, 0.4, center)[0]),
        [fw.own_layout(images)],
        names=("the images",),
    )


@gradients
@pytest.mark.parametrize("scale", [1, 1000])
def test_the_gradient_of_the_loss_reaches_the_logits(impl, fw, rng, scale):
    logits, labels, order = rng.standard_normal((6, 4)) * scale, rng.integers(4, size=6), rng.permutation(6)
    fw.check_gradients(
        lambda tensor: impl.mixed_loss(tensor, fw.array(labels), fw.array(order), 0.3),
        lambda array: loss_by_hand(array, labels, order, 0.3),
        [logits],
        names=("the logits",),
    )


@no_loops
def test_the_work_does_not_grow_with_the_batch_or_the_images(impl, fw, rng):
    """As many operations for 64 images of 24 x 24 pixels as for two of 4 x 4."""

    def batch(size, side):
        images, logits = fw.own_layout(rng.random((size, side, side, 3))), rng.random((size, side))
        return images, logits, rng.integers(side, size=size), rng.permutation(size), (side // 2, side // 2)

    batches = batch(2, 4), batch(64, 24)
    fw.check_no_loops(impl.mixup, *([images, order, 0.3] for images, _, _, order, _ in batches))
    fw.check_no_loops(impl.cutmix, *([images, order, 0.75, center] for images, _, _, order, center in batches))
    fw.check_no_loops(impl.mixed_loss, *([logits, labels, order, 0.3] for _, logits, labels, order, _ in batches))


def train(impl, fw, alpha, seed):
    """A small net on 400 digits: (accuracy, loss on blends of two digits), both on digits not seen in training.

    The framework's own momentum around the learner's draw, mixup and mixed_loss; with alpha 0 nothing is mixed.
    """
    (images, digits), (unseen, answers), rng = data.digits("train"), data.digits("test"), np.random.default_rng(seed)
    fw.seed(seed)
    net = fw.sequential((64,), ("dense", 64), "relu", ("dense", 10))
    optimiser, batch, labels = fw.sgd(net, 0.3, momentum=0.9), fw.array(images[:400]), fw.array(digits[:400])

    def step(lam, order):
        mixed = impl.mixup(batch, order, lam)

        def loss():
            return impl.mixed_loss(fw.call(net, mixed, training=True), labels, order, lam)

        fw.apply_gradients(optimiser, net, fw.gradients(loss, fw.parameters(net).values()))

    for _ in range(60):
        lam, order, _ = impl.draw(rng, 400, 8, 8, alpha)
        step(float(lam), order)
    partners = rng.permutation(len(unseen))
    accuracy = np.mean(fw.numpy(fw.call(net, fw.array(unseen))).argmax(axis=1) == answers)
    logits = fw.numpy(fw.call(net, fw.array(blend_by_hand(unseen, partners, 0.5))))
    return accuracy, loss_by_hand(logits, answers, partners, 0.5)


@between_two_digits
def test_a_net_trained_on_blends_is_right_between_two_digits(impl, fw):
    """Ten seeds give an accuracy of XXX to XXX and a loss on blends of XXX to XXX; without mixup XXX to XXX.

    Who guesses evenly between ten classes has an accuracy of 0.10 and a loss of 2.30.
    """
    accuracy, between = train(impl, fw, alpha=1.0, seed=0)
    _, between_without = train(impl, fw, alpha=0.0, seed=0)
    assert between_without > 1.5, f"with alpha 0 the loss on blends is {between_without:.2f}: something was mixed"
    assert between < 1.5, f"after training with mixup the loss on blends of two digits is {between:.2f}, not below 1.5"
    assert accuracy > 0.88, f"the accuracy on digits not seen in training is {accuracy:.2f}, not above 0.88"


@pytest.mark.gpu
@paste
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    images, order = rng.standard_normal((4, 6, 5, 2)), np.array([2, 0, 3, 1])
    mixed, _ = impl.cutmix(gpu.images(images), gpu.array(order), 0.4, (2, 1))
    gpu.check_device(mixed)
    gpu.close(mixed, gpu.own_layout(cut_by_hand(images, order, 0.4, (2, 1))[0]), of="mixed images")
    blend = impl.mixup(gpu.array(images), gpu.array(order), 0.3)
    gpu.check_device(blend)
    gpu.close(blend, blend_by_hand(images, order, 0.3), of="mixed batch")
