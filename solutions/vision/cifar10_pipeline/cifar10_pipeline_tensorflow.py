"""CIFAR-10 from the published files to a confusion matrix, in TensorFlow.

A batch is a pickle, and a pickle is a program: the Unpickler here knows the three names that a NumPy array needs, and
no other. A row holds three colour planes one after the other, so it is reshaped to (3, 32, 32), and only then
transposed. Mean and deviation are measured after the validation images have been put aside. The net that is left is the
one of the best epoch, by validation, so its weights are copied then: and with 0.99, the momentum
that Keras gives a batch norm, its running statistics would lag behind for hundreds of steps.
"""

import io
import pickle
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy._core.multiarray import _reconstruct
from tensorflow import Tensor

CLASSES, SIDE = 10, 32


class Cifar10(NamedTuple):
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    names: list[str]


class Sets(NamedTuple):
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
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


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return _KNOWN[module, name]


def _unpickle(path: Path) -> dict:
    data = path.read_bytes()
    try:
        content = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(f"{path} is no CIFAR-10 file: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no CIFAR-10 file: it holds a {type(content).__name__} and no dictionary")
    return content


def read_batch(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    content = _unpickle(Path(path))
    data, labels = content.get(b"data"), content.get(b"labels")
    if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.shape[1:] == (3 * SIDE * SIDE,)):
        raise ValueError(f"{path} is no CIFAR-10 file: its data are not rows of {3 * SIDE * SIDE} bytes")
    if not (isinstance(labels, list) and len(labels) == len(data)):
        raise ValueError(f"{path} is no CIFAR-10 file: it has no list of {len(data)} labels, one for each image")
    if not all(label in range(CLASSES) for label in labels):
        raise ValueError(f"{path} is no CIFAR-10 file: a label is not a number from 0 to {CLASSES - 1}")
    images = data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return images, np.array(labels, "int64")


def read_cifar10(folder: str | Path) -> Cifar10:
    folder = Path(folder)
    meta = _unpickle(folder / "batches.meta")
    names, number = meta.get(b"label_names"), meta.get(b"num_cases_per_batch")
    if not (isinstance(names, list) and len(names) == CLASSES):
        raise ValueError(f"{folder / 'batches.meta'} does not name {CLASSES} classes")
    batches = []
    for name in [*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"]:
        images, labels = read_batch(folder / name)
        if len(images) != number:
            raise ValueError(f"{folder / name} holds {len(images)} images; batches.meta says {number}")
        batches.append((images, labels))
    *training, test = batches
    images, labels = map(np.concatenate, zip(*training, strict=True))
    return Cifar10(images, labels, *test, [name.decode("ascii") for name in names])


def _statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, exact: there are only 256 values, so they are counted and not summed."""
    values = np.arange(256) / 255
    share = np.stack([np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(3)])
    share = share / share.sum(axis=1, keepdims=True)
    mean = share @ values
    return mean, np.sqrt(share @ values**2 - mean**2)


def prepare(data: Cifar10, held_out: int, rng: np.random.Generator) -> Sets:
    if not 0 < held_out < len(data.train_images):
        raise ValueError(f"{held_out} of {len(data.train_images)} training images cannot be held out")
    order = rng.permutation(len(data.train_images))
    validation, train = order[:held_out], order[held_out:]
    mean, std = _statistics(data.train_images[train])

    def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        normal = (images - 255 * mean.astype("float32")) / (255 * std.astype("float32"))
        return tf.constant(normal), tf.constant(labels)

    return Sets(
        train=tensors(data.train_images[train], data.train_labels[train]),
        validation=tensors(data.train_images[validation], data.train_labels[validation]),
        test=tensors(data.test_images, data.test_labels),
        mean=mean,
        std=std,
    )


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    number, height, width, _ = images.shape
    mirrored = rng.random(number) < 0.5
    images = tf.where(mirrored[:, None, None, None], tf.reverse(images, [2]), images)
    top, left = rng.integers(0, 9, (2, number, 1))
    padded = tf.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    rows = tf.gather(padded, top + np.arange(height), axis=1, batch_dims=1)
    return tf.gather(rows, left + np.arange(width), axis=2, batch_dims=1)


def build_model(width: int = 32) -> keras.Model:
    layers = [keras.Input((SIDE, SIDE, 3))]
    for channels in (width, 2 * width, 4 * width):
        layers += [
            keras.layers.Conv2D(channels, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.MaxPool2D(2),
        ]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(CLASSES)])


def predict(model: keras.Model, images: Tensor, batch_size: int = 500) -> Tensor:
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    return tf.concat([tf.argmax(model(batch, training=False), axis=1) for batch in batches], axis=0)


def score(labels: np.ndarray, predictions: np.ndarray, classes: int = CLASSES) -> Scores:
    if len(labels) != len(predictions) or len(labels) == 0:
        raise ValueError(f"{len(labels)} labels and {len(predictions)} predictions cannot be compared")
    confusion = np.bincount(classes * labels + predictions, minlength=classes**2).reshape(classes, classes)
    right = np.diag(confusion).astype("float64")
    predicted, actual = confusion.sum(axis=0), confusion.sum(axis=1)
    precision, recall = right / np.maximum(predicted, 1), right / np.maximum(actual, 1)
    f1 = 2 * right / np.maximum(predicted + actual, 1)
    return Scores(right.sum() / len(labels), precision, recall, f1, confusion)


def train(
    model: keras.Model,
    train_set: tuple[Tensor, Tensor],
    validation_set: tuple[Tensor, Tensor],
    epochs: int,
    rng: np.random.Generator,
    batch_size: int = 64,
    rate: float = 2e-3,
) -> list[Epoch]:
    images, labels = train_set
    steps = -(-len(images) // batch_size)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(rate, epochs * steps, 0.0))

    @tf.function(reduce_retracing=True)
    def step(images: Tensor, labels: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    history, best = [], None
    for _ in range(epochs):
        order, total = rng.permutation(len(images)), 0.0
        for indices in np.split(order, range(batch_size, len(images), batch_size)):
            batch = augment(tf.gather(images, indices), rng)
            total += float(step(batch, tf.gather(labels, indices))) * len(indices)
        right = predict(model, validation_set[0]) == validation_set[1]
        history.append(Epoch(total / len(images), float(np.mean(right))))
        if history[-1].accuracy > max((epoch.accuracy for epoch in history[:-1]), default=-1):
            best = model.get_weights()
    model.set_weights(best)
    return history
