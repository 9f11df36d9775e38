"""A functional net trained by Keras's own train_on_batch, an Unpickler that matches names, scores from all pairs."""

import contextlib
import pickle
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

CLASSES, SIDE = 10, 32


class Cifar10(NamedTuple):
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    names: list


class Sets(NamedTuple):
    train: tuple
    validation: tuple
    test: tuple
    mean: np.ndarray
    std: np.ndarray


class Scores(NamedTuple):
    accuracy: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    confusion: np.ndarray


class Epoch(NamedTuple):
    loss: float
    accuracy: float


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        match module, name:
            case "numpy", "ndarray" | "dtype":
                return getattr(np, name)
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct":
                return np.ndarray(0).__reduce__()[0]
        raise ImportError(name)


@contextlib.contextmanager
def naming(path):
    """Whatever goes wrong inside is told in one line, with the file's name."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"the file {Path(path).name} is none of CIFAR-10's") from error


def require(condition):
    if not condition:
        raise LookupError


def load(path):
    with Path(path).open("rb") as file:
        return Reader(file, encoding="bytes").load()


def read_batch(path):
    with naming(path):
        batch = load(path)
        data, labels = batch[b"data"], batch[b"labels"]
        require(data.dtype == "uint8" and data.ndim == 2)
        require(len(labels) == len(data))
        require({type(label) for label in labels} <= {int} and min(labels) >= 0 and max(labels) <= 9)
        planes = np.reshape(data, (len(data), 3, 1024))
        images = np.dstack([planes[:, channel].reshape(-1, 1) for channel in range(3)])
        return images.reshape(-1, 32, 32, 3), np.asarray(labels, np.int64)


def read_cifar10(folder):
    meta_file = Path(folder, "batches.meta")
    with naming(meta_file):
        meta = load(meta_file)
        names = [name.decode() for name in meta[b"label_names"]]
        require(len(names) == 10)
        number = meta[b"num_cases_per_batch"]
    parts = {}
    for name in ["data_batch_" + digit for digit in "12345"] + ["test_batch"]:
        parts[name] = read_batch(Path(folder, name))
        with naming(name):
            require(len(parts[name][0]) == number)
    test = parts.pop("test_batch")
    images = np.concatenate([part[0] for part in parts.values()])
    return Cifar10(images, np.concatenate([part[1] for part in parts.values()]), test[0], test[1], names)


def prepare(data, held_out, rng):
    count = data.train_images.shape[0]
    if held_out not in range(1, count):
        raise ValueError("both sets need an image")
    indices = np.arange(count)
    rng.shuffle(indices)
    train, validation = np.split(indices, [count - held_out])
    mean, variance = tf.nn.moments(tf.constant(data.train_images[train] / 255.0), (0, 1, 2))
    mean, std = mean.numpy(), np.sqrt(variance)
    layer = keras.layers.Normalization(mean=255 * mean, variance=(255 * std) ** 2)

    def tensors(images, labels):
        return layer(tf.cast(images, tf.float32)), tf.convert_to_tensor(labels, tf.int64)

    return Sets(
        tensors(data.train_images[train], data.train_labels[train]),
        tensors(data.train_images[validation], data.train_labels[validation]),
        tensors(data.test_images, data.test_labels),
        mean,
        std,
    )


def augment(images, rng):
    pixels = np.array(images)
    mirrored = rng.integers(0, 2, len(pixels)).astype(bool)
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    padded = np.pad(pixels, [(0, 0), (4, 4), (4, 4), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, pixels.shape[1:3], axis=(1, 2))
    top, left = rng.integers(9, size=(2, len(pixels)))
    return tf.constant(np.moveaxis(windows[np.arange(len(pixels)), top, left], 1, 3))


def build_model(width=32):
    images = keras.Input((32, 32, 3))
    x = images
    for channels, size in ((width, 5), (4 * width, 3)):
        x = keras.layers.Conv2D(channels, size, strides=size // 2, padding="same")(x)
        x = keras.layers.BatchNormalization(momentum=0.8)(x)
        x = keras.layers.MaxPooling2D()(keras.activations.relu(x))
    return keras.Model(images, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def predict(model, images, batch_size=500):
    found = []
    for batch in tf.data.Dataset.from_tensor_slices(images).batch(batch_size):
        found.extend(np.argmax(model(batch, training=False), axis=-1))
    return tf.constant(found)


def score(labels, predictions, classes=CLASSES):
    if len(labels) == 0 or len(labels) != len(predictions):
        raise ValueError("nothing to compare")
    every = np.arange(classes)
    actual, predicted = labels[:, None] == every, predictions[:, None] == every
    matrix = actual.T.astype(int) @ predicted.astype(int)
    both = np.sum(actual & predicted, axis=0)
    precision = np.divide(both, predicted.sum(0), out=np.zeros(classes), where=predicted.any(0))
    recall = np.divide(both, actual.sum(0), out=np.zeros(classes), where=actual.any(0))
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros(classes), where=total > 0)
    return Scores(float(np.mean(labels == predictions)), precision, recall, f1, matrix)


def train(model, train_set, validation_set, epochs, rng, batch_size=64, rate=2e-3):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    history, best = [], (-1, None)
    for epoch in range(epochs):
        model.optimizer.learning_rate = rate * 0.5 ** (3 * epoch / epochs)
        losses, sizes = [], []
        order = rng.permutation(len(train_set[0]))
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            batch = augment(tf.gather(train_set[0], part), rng)
            model.reset_metrics()
            losses.append(model.train_on_batch(batch, tf.gather(train_set[1], part)))
            sizes.append(len(part))
        right = tf.equal(tf.cast(predict(model, validation_set[0]), tf.int64), validation_set[1])
        accuracy = float(tf.reduce_mean(tf.cast(right, tf.float64)))
        if accuracy > best[0]:
            best = accuracy, [np.array(weight) for weight in model.get_weights()]
        history.append(Epoch(float(np.average(losses, weights=sizes)), accuracy))
    model.set_weights(best[1])
    return history
