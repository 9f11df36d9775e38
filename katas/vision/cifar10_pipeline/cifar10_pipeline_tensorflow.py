"""CIFAR-10 from the published files to a confusion matrix, in TensorFlow.

The whole way of an image classifier: read files that somebody else wrote, and trust none of them; put validation
images aside; normalise; augment; train, and keep the best epoch; look at the test images once, class by class. A step
that is wrong raises nothing: it costs accuracy, or honesty (Krizhevsky 2009, "Learning multiple layers of features").

Files      data_batch_1 to data_batch_5, test_batch and batches.meta, each one pickle of Python 2: a dictionary whose
           keys are bytes when read with encoding="bytes". A batch holds b"data", an array (N, 3072) of uint8, a row
           for each image: 1024 reds, row by row, then 1024 greens, then 1024 blues; and b"labels", a list of N
           ints from 0 to 9. batches.meta holds b"label_names", ten byte strings, and b"num_cases_per_batch", the N
           of every batch.
Pickles    may run any code. The only names that these files need are numpy.core.multiarray._reconstruct,
           numpy.ndarray and numpy.dtype: an Unpickler of your own knows no others.
Levels     1 reading · 2 bad files · 3 normalised · 4 augmented · 5 scores · 6 trained
Real data  with KATA_CIFAR10=FOLDER, the folder of the seven files, level 6 also trains on them: 10 epochs, and 65 %
           of the test images must be right. pytest -k cifar10_pipeline is the way: it has no limit on the whole kata
Off limits keras.datasets.cifar10.load_data, torchvision.datasets.CIFAR10
Check      pytest -k cifar10_pipeline
"""

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from tensorflow import Tensor

CLASSES, SIDE = 10, 32


class Cifar10(NamedTuple):
    """What the files hold. The training images are those of the five batches, in their order."""

    train_images: np.ndarray  # (5 · N, 32, 32, 3), uint8
    train_labels: np.ndarray  # (5 · N,), int64
    test_images: np.ndarray  # (N, 32, 32, 3), uint8
    test_labels: np.ndarray  # (N,), int64
    names: list[str]  # of the classes


class Sets(NamedTuple):
    """Normalised images (number, 32, 32, 3), float32, each set with its labels (number,), int64; see `prepare`."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    mean: np.ndarray  # (3,)
    std: np.ndarray  # (3,)


class Scores(NamedTuple):
    """How well a set of predictions does; see `score`."""

    accuracy: float
    precision: np.ndarray  # (classes,)
    recall: np.ndarray  # (classes,)
    f1: np.ndarray  # (classes,)
    confusion: np.ndarray  # (classes, classes), integer


class Epoch(NamedTuple):
    """What one epoch of training came to; see `train`."""

    loss: float
    accuracy: float


def read_batch(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read one batch, without running any code that it may hold.

    Returns:
        The images (N, 32, 32, 3), uint8: red, green and blue; and the labels (N,), int64.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off, no pickle, no dictionary, asks for another name, or does not hold what a batch
            holds. The message is one line that holds the file's name.
    """
    raise NotImplementedError("read_batch is yours to write")


def read_cifar10(folder: str | Path) -> Cifar10:
    """Read the five training batches, the test batch and the names of the classes.

    Raises:
        FileNotFoundError: one of the seven files is not there.
        ValueError: one is bad, as in `read_batch`; batches.meta does not hold ten names; or a batch has another number
            of images than batches.meta says. The message is one line that holds the file's name.
    """
    raise NotImplementedError("read_cifar10 is yours to write")


def prepare(data: Cifar10, held_out: int, rng: np.random.Generator) -> Sets:
    """Put validation images aside and normalise: (pixel / 255 − mean) / std, channel by channel.

    Args:
        data: what `read_cifar10` gives.
        held_out: how many of the training images become the validation set: some, drawn at random, all equally likely.
            The others stay the training set; both in any order.
        rng: the only source of chance.

    Returns:
        The three sets, and mean and std of each channel, over all pixels (divided by 255) of the images that are
        left for training; the deviation divides by their number.

    Raises:
        ValueError: held_out leaves no image for training, or none for validation.
    """
    raise NotImplementedError("prepare is yours to write")


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Change each image at random, by chance of its own, so that it still shows the same class.

    Half of the images are mirrored left to right. Then each is padded with 4 zeros on every side, and cropped to
    its size again at one of the 9 · 9 places, all equally likely.

    Args:
        images: (N, height, width, channels), floating point.
        rng: the only source of chance.

    Returns:
        As many images of the same shape and dtype.
    """
    raise NotImplementedError("augment is yours to write")


def build_model(width: int = 32) -> keras.Model:
    """A fresh convolutional net, of your own design: from images (N, 32, 32, 3) to logits (N, 10).

    Args:
        width: the channels of the first convolution; the others grow with it. A width of 8 should run an image in about
            a million multiplications, one of 32 in ten to fifteen million.
    """
    raise NotImplementedError("build_model is yours to write")


def predict(model: keras.Model, images: Tensor, batch_size: int = 500) -> Tensor:
    """The most likely class of each image, (N,), integer, by the model in evaluation mode, which does not change it.

    The images go through in batches of batch_size, the last one perhaps smaller, without gradients.
    """
    raise NotImplementedError("predict is yours to write")


def score(labels: np.ndarray, predictions: np.ndarray, classes: int = CLASSES) -> Scores:
    """Compare predictions with labels, both (N,), integer.

    Returns:
        accuracy: the share of predictions that are right.
        precision: of the predictions of a class, the share that are right; 0 for a class that is never predicted.
        recall: of the images of a class, the share predicted right; 0 for a class without images.
        f1: 2 · precision · recall / (precision + recall); 0 where both are 0.
        confusion: in row i and column j, the number of images of class i that were taken for class j.

    Raises:
        ValueError: there is no label, or another number of predictions.
    """
    raise NotImplementedError("score is yours to write")


def train(
    model: keras.Model,
    train_set: tuple[Tensor, Tensor],
    validation_set: tuple[Tensor, Tensor],
    epochs: int,
    rng: np.random.Generator,
    batch_size: int = 64,
    rate: float = 2e-3,
) -> list[Epoch]:
    """Train with Adam on the cross-entropy, and leave the model as it was after its best epoch.

    In each epoch every training image is used once, in a new random order; each batch goes through `augment` first, and
    through the model in training mode. After each epoch `predict` is given the validation images, once and as they are,
    and so their accuracy is known. At the end the model's weights, and whatever else it keeps, are those after the
    epoch of the highest such accuracy, the first one if there are several.

    Args:
        model: what `build_model` gives; trained in place.
        train_set, validation_set: images and labels, as in `Sets`.
        epochs: how many, at least one.
        rng: of the order, and of `augment`.
        batch_size: images in a batch; the last one of an epoch may be smaller.
        rate: Adam's learning rate at the start. It may fall from there as you like.

    Returns:
        For each epoch the mean loss of its training images, as they were trained on, and the validation accuracy.
    """
    raise NotImplementedError("train is yours to write")
