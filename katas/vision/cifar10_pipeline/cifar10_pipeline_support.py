"""Writes the files that cifar10_pipeline reads, good and bad, and finds out what was made of their images.

The format is the published one, to the byte order of the planes and the opcodes of Python 2's pickle.
"""

import gzip
import io
import os
import pickle
import struct
from functools import cache

import numpy as np

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAINING = [f"data_batch_{number}" for number in range(1, 6)]
NUMBER = 60  # patterns in a file
ONE = [0, 2, 2, 1, 9, 9, 9, 5]  # a few labels


class Python2Pickler(pickle._Pickler):
    """Writes bytes and text as Python 2 wrote its strings, and NumPy's names as they were then; protocol 2."""

    def save_string(self, value):
        data = value if isinstance(value, bytes) else value.encode("ascii")
        short, long = pickle.SHORT_BINSTRING + bytes([len(data) % 256]), pickle.BINSTRING + struct.pack("<i", len(data))
        self.write((short if len(data) < 256 else long) + data)
        self.memoize(value)

    def save_global(self, value, name=None):
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(f"c{module}\n{name or value.__qualname__}\n".encode("ascii"))
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_string, str: save_string}


def pickled(content):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


def write(path, content):
    path.write_bytes(pickled(content))


def batch(images, labels, name="training batch 1 of 5"):
    """A row of the data: all reds of an image, then all greens, then all blues."""
    rows = [np.concatenate([image[:, :, channel].ravel() for channel in range(3)]) for image in images]
    return {
        b"batch_label": name.encode("ascii"),
        b"labels": [int(label) for label in labels],
        b"data": np.stack(rows),
        b"filenames": [b"picture_s_%06d.png" % number for number in range(len(labels))],
    }


def meta(number):
    return {b"num_cases_per_batch": number, b"label_names": [name.encode("ascii") for name in NAMES], b"num_vis": 3072}


def write_set(folder, images, labels):
    """The seven files: image and label number n of file f are images[f][n] and labels[f][n]."""
    for file, name in enumerate([*TRAINING, "test_batch"]):
        write(folder / name, batch(images[file], labels[file], name))
    write(folder / "batches.meta", meta(len(labels[0])))


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

    rows, columns = wave(y + shift_y), wave(x + shift_x)
    rings = wave(np.hypot(y - 8 - shift_y / 2, x - 8 - shift_x / 2))
    diagonals = wave((x + shift_x + sign * y) / np.sqrt(2))
    form = [rows, columns, rows * columns, rings, diagonals][kind]
    colours = np.where((form > 0)[..., None], rng.uniform(0.5, 1, 3), rng.uniform(0, 0.5, 3))
    return np.clip(255 * (colours + 0.05 * rng.standard_normal((32, 32, 3))), 0, 255).astype("uint8")


def bad_files():
    """What is wrong to the bytes of such a file, which is no batch."""
    images = noise(np.random.default_rng(0), len(ONE))
    sound = batch(images, ONE)
    good, data = pickled(sound), sound[b"data"]
    contents = {
        "a list": [data, ONE],
        "a tuple": (1, 2, 3),
        "no data": {b"labels": ONE},
        "no labels": {b"data": data, b"fine_labels": ONE, b"coarse_labels": ONE},
        "text for data": sound | {b"data": bytes(3072 * len(ONE))},
        "one byte less a row": sound | {b"data": data[:, :-1].copy()},
        "one row of all": sound | {b"data": data.ravel()},
        "images and no rows": sound | {b"data": images},
        "floats": sound | {b"data": data.astype("float64")},
        "signed bytes": sound | {b"data": data.view("int8")},
        "one label less": sound | {b"labels": ONE[:-1]},
        "one label more": sound | {b"labels": [*ONE, 0]},
        "label 10": sound | {b"labels": [10, *ONE[1:]]},
        "label -1": sound | {b"labels": [-1, *ONE[1:]]},
        "a half as label": sound | {b"labels": [0.5, *ONE[1:]]},
        "words as labels": sound | {b"labels": [b"cat"] * len(ONE)},
        "one number as labels": sound | {b"labels": 3},
    }
    return {
        "empty": b"",
        "a web page": b"<html>\n<body>404\nnot found</body>\n</html>\n",
        "the archive": gzip.compress(good),
        "half of it": good[: len(good) // 2],
        "one byte short": good[:-1],
    } | {kind: pickled(content) for kind, content in contents.items()}


def bad_parts(rng):
    """What is wrong in a set of two images a file, to the bytes of the file that is to blame."""
    contents = {
        "nine names": meta(2) | {b"label_names": meta(2)[b"label_names"][:9]},
        "no names": {b"fine_label_names": [b"apple"] * 100, b"num_cases_per_batch": 2},
        "another number": batch(noise(rng, 1), [3]),
        "a list": [b"cat"] * 10,
    }
    return {kind: pickled(content) for kind, content in contents.items()} | {"cut off": pickled(meta(2))[:40]}


class Payload:
    """Pickled, it is a call: whoever loads it without care runs that."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def calls(trace):
    """Contents that leave a trace, a file or folder, when they are loaded without care."""
    from numpy.testing._private.utils import runstring

    code = f"open({str(trace)!r}, 'w').close()"
    return {
        "a system call": Payload(os.mkdir, str(trace)),
        "a built-in": Payload(eval, code),
        "a tool of NumPy's": Payload(runstring, code, {}),
        "hidden": [{b"deep": (1, Payload(os.mkdir, str(trace)))}],
    }


def found_again(fw, images, sets, raw):
    """The index in `raw` of each normalised image, by its pixels; a message if one is none of them."""
    pixels = (fw.images_numpy(images).astype("float64") * np.float64(sets.std) + np.float64(sets.mean)) * 255
    assert np.abs(pixels - np.rint(pixels)).max() < 0.02, "(pixel / 255 − mean) / std, undone, gives no pixels again"
    known = {image.tobytes(): index for index, image in enumerate(raw)}
    places = [known.get(image.tobytes()) for image in np.rint(pixels).astype("uint8")]
    assert None not in places, "an image, with its normalisation undone, is none of those that were given"
    return np.array(places)


def choices(images, changed):
    """What was done to each image, of the 2 · 9 · 9 possibilities: (mirrored, top, left)."""
    found = []
    for number, (before, after) in enumerate(zip(images, changed, strict=True)):
        height, width = before.shape[:2]
        padded = [np.pad(image, ((4, 4), (4, 4), (0, 0))) for image in (before, before[:, ::-1])]
        fitting = [
            (mirrored, top, left)
            for mirrored, top, left in np.ndindex(2, 9, 9)
            if np.array_equal(padded[mirrored][top : top + height, left : left + width], after)
        ]
        assert fitting, f"image {number} is none of the 162 that mirroring, padding by 4 and cropping can give"
        found.append(fitting[0])
    return np.array(found)


def ratio(part, whole):
    """0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def by_counting(labels, predictions, classes):
    """Accuracy, precision, recall, f1 and the matrix, counted one image at a time."""
    matrix = np.zeros((classes, classes), int)
    for label, prediction in zip(labels, predictions, strict=True):
        matrix[label, prediction] += 1
    right = np.diag(matrix)
    precision, recall = ratio(right, matrix.sum(axis=0)), ratio(right, matrix.sum(axis=1))
    return right.sum() / len(labels), precision, recall, ratio(2 * precision * recall, precision + recall), matrix


def baselines(data):
    """Test accuracy of the most frequent class, and of the class whose mean training image is nearest."""
    train, test = (images.reshape(len(images), -1) / 255 for images in (data.train_images, data.test_images))
    means = np.stack([train[data.train_labels == one].mean(axis=0) for one in range(10)])
    nearest = ((test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    most = np.bincount(data.train_labels).argmax()
    return np.mean(data.test_labels == most), np.mean(data.test_labels == nearest)
