"""CIFAR-10 from the published files to a confusion matrix, in PyTorch.

A batch is a pickle, and a pickle is a program: the Unpickler here knows the three names that a NumPy array needs, and
no other. A row holds three colour planes one after the other, so it is reshaped to (3, 32, 32), and only then
transposed. Mean and deviation are measured after the validation images have been put aside. The net that is left is the
one of the best epoch, by validation, so its weights are copied then: a state_dict alone would go on changing.
"""

import copy
import io
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy._core.multiarray import _reconstruct
from torch import Tensor, nn

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
        return torch.from_numpy(normal.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)

    return Sets(
        train=tensors(data.train_images[train], data.train_labels[train]),
        validation=tensors(data.train_images[validation], data.train_labels[validation]),
        test=tensors(data.test_images, data.test_labels),
        mean=mean,
        std=std,
    )


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    number, _, height, width = images.shape
    mirrored = torch.from_numpy(rng.random(number) < 0.5).to(images.device)
    images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    top, left = (torch.from_numpy(rng.integers(0, 9, number)).to(images.device) for _ in range(2))
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    each = torch.arange(number, device=images.device)
    padded = F.pad(images, (4, 4, 4, 4)).permute(0, 2, 3, 1)
    return padded[each[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def build_model(width: int = 32) -> nn.Module:
    layers, channels = [], 3
    for out in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
        channels = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * (SIDE // 8) ** 2, CLASSES))


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    model.eval()
    return torch.cat([model(batch).argmax(dim=1) for batch in images.split(batch_size)])


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
    model: nn.Module,
    train_set: tuple[Tensor, Tensor],
    validation_set: tuple[Tensor, Tensor],
    epochs: int,
    rng: np.random.Generator,
    batch_size: int = 64,
    rate: float = 2e-3,
) -> list[Epoch]:
    images, labels = train_set
    steps = -(-len(images) // batch_size)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, epochs * steps)
    history, best = [], None
    for _ in range(epochs):
        model.train()
        total = 0.0
        for indices in torch.from_numpy(rng.permutation(len(images))).split(batch_size):
            loss = F.cross_entropy(model(augment(images[indices], rng)), labels[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(indices)
        right = predict(model, validation_set[0]) == validation_set[1]
        history.append(Epoch(total / len(images), right.double().mean().item()))
        if history[-1].accuracy > max((epoch.accuracy for epoch in history[:-1]), default=-1):
            best = copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    return history
