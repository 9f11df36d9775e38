"""Levels of the cifar10_pipeline kata.

The files are written in the published format, to the byte order of their planes and the opcodes of Python 2's pickle,
and hold patterns that can be learnt. With KATA_CIFAR10 set, level 6 trains on the real files as well.
"""

import gzip
import os
import pickle
import struct
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dojo import level

reading = level(1, "reading")
bad_files = level(2, "bad files", points=2)
normalised = level(3, "normalised", points=2)
augmented_level = level(4, "augmented", points=2)
scores_level = level(5, "scores", points=2)
trained = level(6, "trained", points=3)

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAINING = [f"data_batch_{number}" for number in range(1, 6)]
NUMBER = 60  # images in a file
ONE = [0, 2, 2, 1, 9, 9, 9, 5]  # a few labels


# ---------------------------------------------------------------- files in the published format


class Python2Pickler(pickle._Pickler):
    """Writes bytes and text as Python 2 wrote its strings, and NumPy's names as they were then; protocol 2."""

    def __init__(self, file):
        super().__init__(file, protocol=2)

    def save_string(self, value):
        data = value if isinstance(value, bytes) else value.encode("ascii")
        short = len(data) < 256
        self.write(
            pickle.SHORT_BINSTRING + bytes([len(data)]) if short else pickle.BINSTRING + struct.pack("<i", len(data))
        )
        self.write(data)
        self.memoize(value)

    def save_global(self, value, name=None):
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{name or value.__qualname__}\n".encode("ascii"))
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_string, str: save_string}


def write_pickle(path, content):
    with path.open("wb") as file:
        Python2Pickler(file).dump(content)


def rows(images):
    """(N, 32, 32, 3) as the rows of a batch: all reds, then all greens, then all blues."""
    return np.stack([np.concatenate([image[:, :, channel].ravel() for channel in range(3)]) for image in images])


def batch(images, labels, name="training batch 1 of 5"):
    filenames = [b"picture_s_%06d.png" % number for number in range(len(labels))]
    return {
        b"batch_label": name.encode("ascii"),
        b"labels": [int(label) for label in labels],
        b"data": rows(images),
        b"filenames": filenames,
    }


def meta(number):
    return {b"num_cases_per_batch": number, b"label_names": [name.encode("ascii") for name in NAMES], b"num_vis": 3072}


def write_set(folder, images, labels):
    """The seven files: image and label number n of file f are images[f][n] and labels[f][n]."""
    for file, name in enumerate([*TRAINING, "test_batch"]):
        write_pickle(folder / name, batch(images[file], labels[file], name))
    write_pickle(folder / "batches.meta", meta(len(labels[0])))


def noise(rng, *shape):
    return rng.integers(0, 256, size=(*shape, 32, 32, 3), dtype="uint8")


@cache
def patterns():
    """Six files of ten patterns: five kinds, each coarse and fine, in random colours and places; mirrors keep them."""
    rng = np.random.default_rng(0)
    labels = np.stack([rng.permutation(np.arange(NUMBER) % 10) for _ in range(6)])
    images = np.stack([[pattern(rng, *divmod(label, 2)) for label in file] for file in labels])
    return images, labels


def pattern(rng, kind, fine):
    y, x = np.mgrid[:32, :32]
    shift_y, shift_x, sign = rng.uniform(0, 32), rng.uniform(0, 32), rng.choice((-1, 1))

    def wave(t):
        return np.sin(2 * np.pi * t / (4 if fine else 12))

    form = [
        lambda: wave(y + shift_y),
        lambda: wave(x + shift_x),
        lambda: wave(y + shift_y) * wave(x + shift_x),
        lambda: wave(np.hypot(y - 8 - shift_y / 2, x - 8 - shift_x / 2)),
        lambda: wave((x + shift_x + sign * y) / np.sqrt(2)),
    ][kind]()
    colours = np.where((form > 0)[..., None], rng.uniform(0.5, 1, 3), rng.uniform(0, 0.5, 3))
    return np.clip(255 * (colours + 0.05 * rng.standard_normal((32, 32, 3))), 0, 255).astype("uint8")


@pytest.fixture
def data(impl):
    """The patterns as `read_cifar10` gives them, made without it."""
    images, labels = patterns()
    return impl.Cifar10(images[:5].reshape(-1, 32, 32, 3), labels[:5].ravel(), images[5], labels[5], NAMES)


# ---------------------------------------------------------------------- level 1


def check_arrays(images, labels, expected_images, expected_labels, of):
    for what, actual, expected in [("images", images, expected_images), ("labels", labels, expected_labels)]:
        kind = type(actual).__name__
        assert isinstance(actual, np.ndarray), f"the {what} of {of} should be a NumPy array, not a {kind}"
        assert actual.dtype == expected.dtype, f"the {what} of {of} should be {expected.dtype}, not {actual.dtype}"
        assert actual.shape == expected.shape, f"the {what} of {of} should be {expected.shape}, not {actual.shape}"
        wrong = np.argwhere(actual != expected).tolist()
        first = wrong[0] if wrong else None
        assert not wrong, f"the {what} of {of}: {len(wrong)} of {actual.size} values are wrong, the first at {first}"


@reading
@pytest.mark.parametrize("kind", [str, Path], ids=["text", "path"])
def test_a_batch_gives_its_images_and_labels(impl, tmp_path, rng, kind):
    images = noise(rng, len(ONE))
    write_pickle(tmp_path / "some batch", batch(images, ONE))
    found = impl.read_batch(kind(tmp_path / "some batch"))
    assert len(found) == 2, f"read_batch returns images and labels, not {len(found)} things"
    check_arrays(*found, images, np.array(ONE, "int64"), of="the batch")


@reading
def test_a_batch_may_hold_one_image(impl, tmp_path, rng):
    images = noise(rng, 1)
    write_pickle(tmp_path / "one", batch(images, [9]))
    check_arrays(*impl.read_batch(tmp_path / "one"), images, np.array([9]), of="a batch of one")


@reading
@pytest.mark.parametrize("kind", [str, Path], ids=["text", "path"])
def test_the_folder_gives_all_batches_in_order(impl, tmp_path, rng, kind):
    images, labels = noise(rng, 6, 3), rng.integers(0, 10, size=(6, 3))
    write_set(tmp_path, images, labels)
    (tmp_path / "readme.html").write_text("<html>")
    found = impl.read_cifar10(kind(tmp_path))
    check_arrays(
        found.train_images,
        found.train_labels,
        images[:5].reshape(15, 32, 32, 3),
        labels[:5].ravel(),
        "the training files",
    )
    check_arrays(found.test_images, found.test_labels, images[5], labels[5], of="the test file")
    assert found.names == NAMES, f"the names should be {NAMES}, as text, not {found.names}"


@reading
@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_file_that_is_missing_is_told(impl, tmp_path, rng, name):
    write_set(tmp_path, noise(rng, 6, 2), np.zeros((6, 2), int))
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError):
        impl.read_cifar10(tmp_path)
    with pytest.raises(FileNotFoundError):
        impl.read_batch(tmp_path / name)


# ---------------------------------------------------------------------- level 2


class Payload:
    """Pickled, it is a call: whoever loads it without care runs that."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def bad_bytes(rng, kind, folder):
    """What a file may hold that is no batch."""
    images = noise(rng, len(ONE))
    write_pickle(folder / "good", batch(images, ONE))
    good, sound = (folder / "good").read_bytes(), batch(images, ONE)
    if kind == "empty":
        return b""
    if kind == "a web page":
        return b"<html>\n<body>404\nnot found</body>\n</html>\n"
    if kind == "the archive":
        return gzip.compress(good)
    if kind in ("half of it", "one byte short"):
        return good[: len(good) // 2] if kind == "half of it" else good[:-1]
    write_pickle(folder / "bad", {
        "a list": [sound[b"data"], sound[b"labels"]],
        "a tuple": (1, 2, 3),
        "no data": {b"labels": ONE},
        "no labels": {b"data": sound[b"data"], b"fine_labels": ONE, b"coarse_labels": ONE},
        "text for data": sound | {b"data": bytes(3072 * len(ONE))},
        "one byte less a row": sound | {b"data": sound[b"data"][:, :-1].copy()},
        "one row of all": sound | {b"data": sound[b"data"].ravel()},
        "images and no rows": sound | {b"data": images},
        "floats": sound | {b"data": sound[b"data"].astype("float64")},
        "signed bytes": sound | {b"data": sound[b"data"].view("int8")},
        "one label less": sound | {b"labels": ONE[:-1]},
        "one label more": sound | {b"labels": [*ONE, 0]},
        "label 10": sound | {b"labels": [10, *ONE[1:]]},
        "label -1": sound | {b"labels": [-1, *ONE[1:]]},
        "a half as label": sound | {b"labels": [0.5, *ONE[1:]]},
        "words as labels": sound | {b"labels": [b"cat"] * len(ONE)},
        "one number as labels": sound | {b"labels": 3},
    }[kind])  # fmt: skip
    return (folder / "bad").read_bytes()


BAD = """empty|a web page|the archive|half of it|one byte short|a list|a tuple|no data|no labels|text for data
one byte less a row|one row of all|images and no rows|floats|signed bytes|one label less|one label more|label 10
label -1|a half as label|words as labels|one number as labels""".replace("\n", "|").split("|")


def refused(read, path, name, what):
    """`read` raises a ValueError of one line with the file's name in it."""
    try:
        read(path)
    except ValueError as error:
        text = str(error)
    except Exception as error:
        raise AssertionError(f"{what} should raise a ValueError; it raised {type(error).__name__}: {error}") from error
    else:
        raise AssertionError(f"{what} was read as if nothing were wrong")
    assert name in text, f"the message must hold the file's name, {name}; it is {text!r}"
    assert "\n" not in text.strip(), f"the message must be one line; it is {text!r}"


@bad_files
@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_batch_is_refused_in_a_sentence(impl, tmp_path, rng, kind):
    (tmp_path / "data_batch_9").write_bytes(bad_bytes(rng, kind, tmp_path))
    refused(impl.read_batch, tmp_path / "data_batch_9", "data_batch_9", f"a file with this wrong: {kind}")


@bad_files
@pytest.mark.parametrize("kind", ["a system call", "a built-in", "a tool of NumPy's", "hidden"])
def test_code_in_a_pickle_is_not_run(impl, tmp_path, rng, kind):
    """The rest of the file may be right; what is in NumPy may be a tool that runs code, too."""
    from numpy.testing._private.utils import runstring

    trace, sound = tmp_path / "it ran", batch(noise(rng, 2), [0, 1])
    code = f"open({str(trace)!r}, 'w').close()"
    call = {
        "a system call": Payload(os.mkdir, str(trace)),
        "a built-in": Payload(eval, code),
        "a tool of NumPy's": Payload(runstring, code, {}),
        "hidden": [{b"deep": (1, Payload(os.mkdir, str(trace)))}],
    }[kind]
    write_pickle(tmp_path / "data_batch_1", sound | {b"batch_label": call})
    refused(impl.read_batch, tmp_path / "data_batch_1", "data_batch_1", f"a pickle with a call in it ({kind})")
    write_set(tmp_path, noise(rng, 6, 2), np.zeros((6, 2), int))
    write_pickle(tmp_path / "batches.meta", meta(2) | {b"more": call})
    refused(impl.read_cifar10, tmp_path, "batches.meta", f"batches.meta with a call in it ({kind})")
    assert not trace.exists(), "the code in the pickle was run. Never load a foreign pickle with pickle.load"


@bad_files
@pytest.mark.parametrize("kind", ["nine names", "no names", "another number", "a list", "cut off"])
def test_a_set_that_does_not_fit_together_is_refused(impl, tmp_path, rng, kind):
    write_set(tmp_path, noise(rng, 6, 2), np.zeros((6, 2), int))
    path, blamed = tmp_path / "batches.meta", "batches.meta"
    if kind == "nine names":
        write_pickle(path, meta(2) | {b"label_names": meta(2)[b"label_names"][:9]})
    elif kind == "no names":
        write_pickle(path, {b"fine_label_names": [b"apple"] * 100, b"num_cases_per_batch": 2})
    elif kind == "another number":
        blamed = "data_batch_4"
        write_pickle(tmp_path / blamed, batch(noise(rng, 1), [3]))
    elif kind == "a list":
        write_pickle(path, [b"cat"] * 10)
    else:
        path.write_bytes(path.read_bytes()[:40])
    refused(impl.read_cifar10, tmp_path, blamed, f"a set with this wrong in {blamed}: {kind}")


# ---------------------------------------------------------------------- level 3


def channel_last(fw, images):
    """Images in the framework's layout as float64 (N, height, width, channel)."""
    return fw.images_numpy(images).astype("float64")


def found_again(fw, images, sets, raw):
    """The index in `raw` of each normalised image, by its pixels; a message if one is none of them."""
    pixels = (channel_last(fw, images) * np.asarray(sets.std, "float64") + np.asarray(sets.mean, "float64")) * 255
    assert np.abs(pixels - np.rint(pixels)).max() < 0.02, "(pixel / 255 − mean) / std, undone, gives no pixels again"
    known = {image.tobytes(): index for index, image in enumerate(raw)}
    places = [known.get(image.tobytes()) for image in np.rint(pixels).astype("uint8")]
    assert None not in places, "an image, with its normalisation undone, is none of those that were given"
    return np.array(places)


@normalised
def test_the_statistics_are_those_of_the_training_part_alone(impl, fw, data):
    """Neither the validation nor the test images, which are much brighter here, may have a say."""
    data = data._replace(train_images=data.train_images // 2, test_images=np.full_like(data.test_images, 255))
    sets = impl.prepare(data, 100, np.random.default_rng(0))
    train = found_again(fw, sets.train[0], sets, data.train_images)
    pixels = data.train_images[train].astype("float64") / 255
    for what, actual, expected in [
        ("mean", sets.mean, pixels.mean(axis=(0, 1, 2))),
        ("std", sets.std, pixels.std(axis=(0, 1, 2))),
    ]:
        actual = np.asarray(actual, "float64")
        assert actual.shape == (3,), f"{what}: one number for each of three channels, not the shape {actual.shape}"
        off = np.abs(actual - expected).max()
        told = f"{what} over the {len(train)} images left for training is {expected.round(5)}, not {actual.round(5)}"
        assert off < 1e-5, told
    whole = data.train_images.mean(axis=(0, 1, 2)) / 255
    assert np.abs(pixels.mean(axis=(0, 1, 2)) - whole).max() > 1e-4, "the test's own data cannot tell the two apart"


@normalised
def test_each_set_is_normalised_by_the_same_numbers(impl, fw, data):
    sets = impl.prepare(data, 100, np.random.default_rng(1))
    mean, std = np.asarray(sets.mean, "float64"), np.asarray(sets.std, "float64")
    for name, raw, labels in [
        ("train", data.train_images, data.train_labels),
        ("validation", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ]:
        images, found = getattr(sets, name)
        places = found_again(fw, images, sets, raw)
        expected = (raw[places] / 255 - mean) / std
        layout = np.moveaxis(expected, -1, 1) if fw.name == "torch" else expected
        fw.close(images, layout, of=f"images of the {name} set", atol=1e-4)
        fw.close(found, labels[places], of=f"labels of the {name} set")
        fw.check_dtype(found, "int64", of=f"labels of the {name} set")
    places = found_again(fw, sets.test[0], sets, data.test_images)
    assert sorted(places) == list(range(NUMBER)), "the test set must hold each test image once"


@normalised
@pytest.mark.parametrize("held_out", [1, 100])
def test_every_training_image_is_in_one_of_two_sets(impl, fw, data, held_out):
    chosen = []
    for seed in (0, 1, 1):
        sets = impl.prepare(data, held_out, np.random.default_rng(seed))
        train, validation = (
            found_again(fw, part[0], sets, data.train_images) for part in (sets.train, sets.validation)
        )
        assert len(validation) == held_out, f"{held_out} images to hold out, and {len(validation)} are"
        both = sorted([*train, *validation])
        assert both == list(range(5 * NUMBER)), "each image must be in the training or the validation set, once"
        chosen.append(sorted(validation))
    assert chosen[1] == chosen[2], "the same seed must hold out the same images"
    assert chosen[0] != chosen[1], "another seed must hold out other images: draw them at random"
    spread = max(chosen[0]) - min(chosen[0])
    assert held_out == 1 or spread > 200, "the images held out stand side by side in the files: draw them at random"


@normalised
@pytest.mark.parametrize("held_out", [-1, 0, 300, 301])
def test_a_set_without_images_is_refused(impl, data, held_out):
    with pytest.raises(ValueError):
        impl.prepare(data, held_out, np.random.default_rng(0))


# ---------------------------------------------------------------------- level 4


def variants(image):
    """All 2 · 9 · 9 images that (height, width, channel) may become: ((mirrored, top, left), image)."""
    height, width = image.shape[:2]
    for mirrored in (False, True):
        padded = np.pad(image[:, ::-1] if mirrored else image, ((4, 4), (4, 4), (0, 0)))
        for top in range(9):
            for left in range(9):
                yield (mirrored, top, left), padded[top : top + height, left : left + width]


def choices(fw, images, augmented):
    """What was done to each image: (mirrored, top, left)."""
    found = []
    for number, (before, after) in enumerate(zip(images, augmented, strict=True)):
        fitting = [what for what, image in variants(before) if np.array_equal(image, after)]
        assert fitting, f"image {number} is none of the 162 that mirroring, padding by 4 and cropping can give"
        found.append(fitting[0])
    return np.array(found, int)


@augmented_level
@pytest.mark.parametrize("size", [(10, 7), (6, 9)], ids=["high", "wide"])
def test_every_choice_is_made_and_each_image_makes_its_own(impl, fw, rng, size):
    """300 images: each place has an expected 33, and half are mirrored."""
    images = rng.standard_normal((300, *size, 2)).astype("float32")
    given = fw.images(images)
    result = impl.augment(given, np.random.default_rng(0))
    fw.check_shape(result, tuple(given.shape), of="augmented images")
    fw.check_dtype(result, "float32", of="augmented images")
    fw.check_unchanged(given, fw.numpy(fw.images(images)), of="images")
    made = choices(fw, images, fw.images_numpy(result))
    share = made[:, 0].mean()
    assert 0.35 < share < 0.65, f"{share:.0%} of 300 images are mirrored; it should be about half"
    for axis, name in ((1, "rows"), (2, "columns")):
        counts = np.bincount(made[:, axis], minlength=9)
        assert counts.min() > 8 and counts.max() < 70, (
            f"nine places among the {name}, chosen so often: {counts.tolist()}"
        )
    tied = max(np.mean(made[:, 1] == made[:, 2]), np.mean(made[:, 1] + made[:, 2] == 8))
    assert tied < 0.3, f"row and column are the same choice in {tied:.0%} of the images: draw both"
    for side in (0, 1):
        counts = np.bincount(made[made[:, 0] == side, 1], minlength=9)
        assert counts.min() > 1, "the place of the crop depends on the mirror: draw both"


@augmented_level
def test_chance_comes_from_the_generator_alone(impl, fw, rng):
    images = rng.standard_normal((5, 6, 6, 3)).astype("float32")
    first, again, other = (fw.numpy(impl.augment(fw.images(images), np.random.default_rng(seed))) for seed in (3, 3, 4))
    assert np.array_equal(first, again), "the same seed must give the same images"
    assert not np.array_equal(first, other), "another seed must give other images"


# ---------------------------------------------------------------------- level 5


def by_counting(labels, predictions, classes):
    """Accuracy, precision, recall, f1 and the matrix, one image at a time."""
    matrix = np.zeros((classes, classes), int)
    for label, prediction in zip(labels, predictions, strict=True):
        matrix[label, prediction] += 1
    precision, recall, f1 = np.zeros((3, classes))
    for one in range(classes):
        right, predicted, actual = matrix[one, one], matrix[:, one].sum(), matrix[one].sum()
        precision[one] = right / predicted if predicted else 0
        recall[one] = right / actual if actual else 0
        both = precision[one] + recall[one]
        f1[one] = 2 * precision[one] * recall[one] / both if both else 0
    return np.trace(matrix) / len(labels), precision, recall, f1, matrix


@scores_level
@pytest.mark.parametrize("number, classes", [(200, 10), (7, 10), (1, 3), (50, 2)])
def test_scores_are_what_counting_gives(impl, rng, number, classes):
    """Few images leave classes that nobody predicts, or that have no image: they score 0, and no nan."""
    labels, predictions = rng.integers(0, classes, size=(2, number))
    predictions = np.where(rng.random(number) < 0.5, labels, predictions)
    scores = impl.score(labels, predictions) if classes == 10 else impl.score(labels, predictions, classes)
    expected = by_counting(labels, predictions, classes)
    for name, wanted in zip(("accuracy", "precision", "recall", "f1", "confusion"), expected, strict=True):
        found = np.asarray(getattr(scores, name))
        assert found.shape == np.shape(wanted), f"{name}: expected the shape {np.shape(wanted)}, got {found.shape}"
        assert np.allclose(found, wanted, rtol=0, atol=1e-6), f"{name} should be\n{wanted}\nand is\n{found}"
    assert np.asarray(scores.confusion).dtype.kind in "iu", "the matrix holds counts: an integer dtype"


@scores_level
@pytest.mark.parametrize("labels, predictions", [([], []), ([1, 2], [1]), ([1], [1, 2])])
def test_what_cannot_be_compared_is_refused(impl, labels, predictions):
    with pytest.raises(ValueError):
        impl.score(np.array(labels, int), np.array(predictions, int))


# ---------------------------------------------------------------------- level 6


def taught(impl, fw, data, seed, epochs, held_out=50, width=4):
    """(model, sets, history) after a training on the patterns."""
    fw.seed(seed)
    rng = np.random.default_rng(seed)
    sets = impl.prepare(data, held_out, rng)
    model = impl.build_model(width)
    return model, sets, impl.train(model, sets.train, sets.validation, epochs, rng, batch_size=32, rate=1e-2)


@trained
def test_the_net_gives_ten_logits_and_depends_on_each_image_alone(impl, fw, rng):
    images = rng.standard_normal((3, 32, 32, 3))
    model = impl.build_model(4)
    logits = fw.call(model, fw.images(images))
    fw.check_shape(logits, (3, 10), of="logits")
    fw.close(fw.call(model, fw.images(images[1:2])), fw.numpy(logits)[1:2], of="logits of one image alone", atol=1e-4)


@trained
def test_predictions_do_not_depend_on_the_batch_and_change_nothing(impl, fw, data):
    images, model = impl.prepare(data, 23, np.random.default_rng(0)).validation[0], impl.build_model(4)
    fw.call(model, 2 * images + 1, training=True)  # whatever the model normalises by is no longer what it began with
    logits = fw.numpy(fw.call(model, images))
    for batch_size in (23, 1, 5, 500):
        if fw.name == "torch":
            model.train()
        found = fw.numpy(impl.predict(model, images, batch_size))
        assert found.shape == (23,), f"23 images have 23 predictions; the shape is {found.shape}"
        wrong = np.sum(found != logits.argmax(axis=1))
        assert not wrong, (
            f"{wrong} of 23 predictions, in batches of {batch_size}, are not the class of the largest logit"
        )
    fw.close(fw.call(model, images), logits, of="the model's logits after predictions", rtol=0, atol=1e-6)


SCRIPT = [27, 54, 36, 54, 45, 9]  # of 90 validation images, how many `predict` finds right in each epoch


@cache
def watched(impl, fw):
    """A training, once for two tests: (sets, history, what went into `augment` and `predict`, logits then and at last).

    `predict` is replaced by one that follows SCRIPT. PyTorch's model is seen at `augment` in training mode, or not.
    """
    images, labels = patterns()
    data = impl.Cifar10(images[:5].reshape(-1, 32, 32, 3), labels[:5].ravel(), images[5], labels[5], NAMES)
    sets = impl.prepare(data, 90, np.random.default_rng(0))
    right, some = fw.numpy(sets.validation[1]), sets.validation[0][:5]
    fw.seed(0)
    model, augment, predict = impl.build_model(2), impl.augment, impl.predict
    augmented, predicted, logits = [], [], []

    def watch_augment(images, rng):
        augmented.append(fw.images_numpy(images))
        assert fw.name != "torch" or model.training, f"batch {len(augmented)} is trained on in evaluation mode"
        return augment(images, rng)

    def watch_predict(model, images, *options, **more):
        assert len(predicted) < len(SCRIPT), f"predict was called more than {len(SCRIPT)} times in {len(SCRIPT)} epochs"
        predicted.append(fw.numpy(images))
        logits.append(fw.numpy(fw.call(model, some)))
        hit = np.arange(len(right)) < SCRIPT[len(predicted) - 1]
        return fw.array(np.where(hit, right, (right + 1) % 10))

    impl.augment, impl.predict = watch_augment, watch_predict
    try:
        history = impl.train(
            model, sets.train, sets.validation, len(SCRIPT), np.random.default_rng(0), batch_size=32, rate=1e-2
        )
    finally:
        impl.augment, impl.predict = augment, predict
    return sets, history, augmented, predicted, [*logits, fw.numpy(fw.call(model, some))]


@pytest.mark.timeout(120)  # a few seconds, on a machine with nothing else to do
@trained
def test_each_epoch_augments_each_training_image_once_in_a_new_order(impl, fw):
    """Seen at `augment`: what goes in there. Validation images do not."""
    sets, history, seen, _, _ = watched(impl, fw)
    assert len(history) == 6, f"six epochs have six entries in the history, not {len(history)}"
    sizes = [len(images) for images in seen]
    assert sizes == [32, 32, 32, 32, 32, 32, 18] * 6, (
        f"210 images in batches of 32, six times; augment was given {sizes}"
    )
    known = {image.tobytes(): index for index, image in enumerate(fw.images_numpy(sets.train[0]))}
    orders = [[known.get(image.tobytes()) for image in np.concatenate(seen[at : at + 7])] for at in range(0, 42, 7)]
    for order in orders:
        assert None not in order, "something else than a training image was augmented"
        assert sorted(order) == list(range(210)), "each training image must be used once in each epoch"
    assert len(set(map(tuple, orders))) == 6, "the order of the images must be new in each epoch"
    assert sorted(orders[0]) != orders[0], "the order of the images must be random in the first epoch, too"


@pytest.mark.timeout(120)
@trained
def test_the_first_of_the_best_epochs_is_kept(impl, fw):
    """Here `predict` finds most in the second epoch, and as many again in the fourth."""
    sets, history, _, predicted, logits = watched(impl, fw)
    assert len(predicted) == 6, f"`predict` should be asked after each of six epochs; it was, {len(predicted)} times"
    for images in predicted:
        fw.close(fw.array(images), fw.numpy(sets.validation[0]), of="what predict is given", rtol=0, atol=0)
    accuracies, expected = [float(epoch.accuracy) for epoch in history], [number / 90 for number in SCRIPT]
    assert np.allclose(accuracies, expected), (
        f"the accuracies are {np.round(expected, 3)}, not {np.round(accuracies, 3)}"
    )
    moved = max(np.abs(logits[0] - after).max() for after in logits[1:6])
    assert moved > 1e-3, "the model gives the same logits after every epoch: nothing is learnt"
    same = [epoch for epoch in range(6) if np.allclose(logits[epoch], logits[6], rtol=0, atol=1e-5)]
    told = f"with {SCRIPT} of 90 right after each epoch, the model should be left as the second epoch made it"
    assert same == [1], f"{told}; its logits are those of the epochs {[epoch + 1 for epoch in same]}"


def noting_modes(fw, model, modes):
    """The model, which notes at each forward pass (in TensorFlow: at each trace) whether it is in training mode."""
    if fw.name == "torch":
        model.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
        return model
    import keras

    class Mode(keras.layers.Layer):
        def call(self, images, training=None):
            modes.append(training)
            return images

    return keras.Sequential([keras.Input((32, 32, 3)), Mode(), model])


@pytest.mark.timeout(120)
@trained
def test_a_single_epoch_is_the_best_even_if_nothing_is_right(impl, fw, monkeypatch):
    sets, modes = watched(impl, fw)[0], []
    model = noting_modes(fw, impl.build_model(2), modes)
    (images, labels), wrong = sets.train, (fw.numpy(sets.validation[1]) + 1) % 10
    before = fw.numpy(fw.call(model, images[:5]))
    monkeypatch.setattr(impl, "predict", lambda *arguments, **options: fw.array(wrong))
    modes.clear()
    history = impl.train(model, (images[:40], labels[:40]), sets.validation, 1, np.random.default_rng(0), rate=1e-2)
    assert True in modes, "train never runs the model in training mode"
    found = [float(epoch.accuracy) for epoch in history]
    assert found == [0], f"one epoch after which no prediction is right should have the accuracies [0], not {found}"
    moved = np.abs(fw.numpy(fw.call(model, images[:5])) - before).max()
    assert moved > 1e-3, "the model is left as it was before the only epoch"


def linear_model(fw, bias):
    """Logits that are the bias, for an image of zeros."""
    if fw.name == "torch":
        import torch
        from torch import nn

        model = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32 * 3, len(bias)))
        with torch.no_grad():
            model[1].bias.copy_(torch.tensor(bias))
        return model
    from keras import Input, Sequential, layers

    model = Sequential([Input((32, 32, 3)), layers.Flatten(), layers.Dense(len(bias))])
    model.layers[1].bias.assign(bias)
    return model


@trained
def test_the_loss_of_an_epoch_is_the_mean_over_its_images(impl, fw, rng):
    """At a rate of nearly 0 the loss of each image stays what it is; the last batch has one image, the others three."""
    bias, labels = rng.standard_normal(10), np.array([0, 0, 0, 0, 1, 1, 2])
    images, given = fw.images(np.zeros((7, 32, 32, 3))), fw.array(labels)
    sets = (images, given), (images[:2], given[:2])
    history = impl.train(linear_model(fw, bias), *sets, 2, np.random.default_rng(0), batch_size=3, rate=1e-9)
    expected = (np.log(np.exp(bias).sum()) - bias[labels]).mean()
    found = [float(epoch.loss) for epoch in history]
    told = (
        f"seven images in batches of 3, 3 and 1, twice: the mean loss should be {expected:.5f} both times, not {found}"
    )
    assert np.allclose(found, expected, rtol=1e-4), told


@trained
def test_by_default_a_step_takes_64_images_and_begins_at_a_rate_of_0_002(impl, fw, rng, monkeypatch):
    """Adam's first step moves every number by its rate, whatever the size of its gradient."""
    augment, bias, sizes = impl.augment, rng.standard_normal(10), []
    monkeypatch.setattr(impl, "augment", lambda images, rng: sizes.append(len(images)) or augment(images, rng))
    for number, expected in ((64, [64]), (65, [64, 1])):
        model, labels = linear_model(fw, bias), fw.array(np.arange(number) % 10)
        some = fw.images(np.zeros((number, 32, 32, 3))), labels
        before = fw.numpy(fw.call(model, some[0][:1]))
        sizes.clear()
        impl.train(model, some, (some[0][:2], labels[:2]), 1, np.random.default_rng(0))
        assert sizes == expected, f"{number} images are by default batches of {expected}, not of {sizes}"
        moved = np.abs(fw.numpy(fw.call(model, some[0][:1])) - before).max()
        assert len(sizes) > 1 or np.isclose(moved, 2e-3, rtol=0.1), (
            f"the first step of Adam at a rate of 0.002 should move a bias by that, and not by {moved:.3g}"
        )


def baselines(data):
    """Test accuracy of the most frequent class, and of the class whose mean training image is nearest."""
    train, test = (images.reshape(len(images), -1) / 255 for images in (data.train_images, data.test_images))
    means = np.stack([train[data.train_labels == one].mean(axis=0) for one in range(10)])
    nearest = ((test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    most = np.bincount(data.train_labels).argmax()
    return np.mean(data.test_labels == most), np.mean(data.test_labels == nearest)


@pytest.mark.timeout(120)  # a few seconds, on a machine with nothing else to do
@trained
def test_patterns_are_learnt_from_files_to_scores(impl, fw, tmp_path):
    """Ten seeds: 0.95 to 1.00 of the test images right, the last loss 0.005 to 0.036 of the first, in each framework.

    The most frequent class would be right for 0.10 of them, the nearest mean image for 0.38.
    """
    write_set(tmp_path, *patterns())
    data = impl.read_cifar10(tmp_path)
    model, sets, history = taught(impl, fw, data, seed=0, epochs=10, width=8)
    scores = impl.score(fw.numpy(sets.test[1]), fw.numpy(impl.predict(model, sets.test[0])))
    trivial = max(baselines(data))
    assert trivial < 0.5, f"the test's own data are too easy: a trivial classifier has {trivial:.2f}"
    assert scores.accuracy > 0.8, f"after 10 epochs {scores.accuracy:.2f} of the test images are right, not over 0.8"
    first, last = history[0].loss, history[-1].loss
    assert 1.0 < first < 5, f"the mean loss of the first epoch is {first:.2f}; ten classes at random have 2.30"
    assert last < 0.3 * first, f"the loss fell from {first:.2f} to {last:.2f} only"
    assert np.trace(scores.confusion) == round(scores.accuracy * NUMBER), "the matrix and the accuracy disagree"


@pytest.mark.timeout(3 * 3600)
@trained
def test_the_real_files_are_learnt(impl, fw):
    """Ten epochs, 5000 images held out: one seed gave 0.81 of the test images in PyTorch, 0.80 in TensorFlow.

    The most frequent class is 0.10 of them.
    """
    folder = os.environ.get("KATA_CIFAR10")
    if not folder:
        pytest.skip("set KATA_CIFAR10 to the folder of the published files, to train on them")
    data = impl.read_cifar10(folder)
    assert data.train_images.shape == (50_000, 32, 32, 3), f"{folder} does not hold 50000 training images"
    fw.seed(0)
    rng = np.random.default_rng(0)
    sets = impl.prepare(data, 5000, rng)
    model = impl.build_model()
    if fw.name == "torch" and (gpu := fw.on_accelerator()):
        model = model.to(gpu.device)
        sets = sets._replace(
            **{name: tuple(t.to(gpu.device) for t in getattr(sets, name)) for name in sets._fields[:3]}
        )
    impl.train(model, sets.train, sets.validation, 10, rng, batch_size=128)
    scores = impl.score(data.test_labels, fw.numpy(impl.predict(model, sets.test[0])))
    worst = data.names[int(np.argmin(scores.recall))]
    assert scores.accuracy >= 0.65, f"{scores.accuracy:.1%} of the test images are right, not 65 %; worst is {worst}"
