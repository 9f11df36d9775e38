"""Looks through the opcodes of a pickle before it is loaded; sums for the statistics, loops for crops and scores."""

import io
import os
import pickle
import pickletools
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

CLASSES, SIDE = 10, 32
HARMLESS = {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
LOOKUPS = {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}


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
    mean: list
    std: list


class Scores(NamedTuple):
    accuracy: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    confusion: np.ndarray


class Epoch(NamedTuple):
    loss: float
    accuracy: float


def bad(path, why):
    return ValueError(f"{os.path.basename(path)}: {why}")


def open_pickle(path):
    with open(path, "rb") as file:
        data = file.read()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in LOOKUPS or (opcode.name == "GLOBAL" and argument not in HARMLESS):
                raise pickle.UnpicklingError("it wants to call something")
        found = pickle.load(io.BytesIO(data), encoding="bytes")
        return {key: found[key] for key in found}
    except Exception as error:
        raise bad(path, f"not one of CIFAR-10's pickles ({type(error).__name__})") from error


def read_batch(path):
    content = open_pickle(path)
    try:
        data, labels = content[b"data"], np.array(content[b"labels"])
        fits = (
            data.ndim == 2
            and data.shape[1] == 3072
            and data.dtype.name == "uint8"
            and labels.shape == (len(data),)
            and labels.dtype.kind == "i"
            and bool(np.isin(labels, range(10)).all())
        )
    except (KeyError, AttributeError, ValueError) as error:
        raise bad(path, "something that a batch holds is not there") from error
    if not fits:
        raise bad(path, "the images and labels are not what CIFAR-10 holds")
    images = np.empty((len(data), 32, 32, 3), "uint8")
    for channel in range(3):
        images[..., channel] = data[:, 1024 * channel : 1024 * (channel + 1)].reshape(-1, 32, 32)
    return images, labels.astype("int64")


def read_cifar10(folder):
    path = os.path.join(folder, "batches.meta")
    meta = open_pickle(path)
    if len(meta.get(b"label_names", ())) != 10 or b"num_cases_per_batch" not in meta:
        raise bad(path, "ten names and a number are needed")
    images, labels = [], []
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]:
        some_images, some_labels = read_batch(os.path.join(folder, name))
        if len(some_labels) != meta[b"num_cases_per_batch"]:
            raise bad(name, "too many or too few images")
        images.append(some_images)
        labels.append(some_labels)
    names = [str(name, "ascii") for name in meta[b"label_names"]]
    return Cifar10(np.vstack(images[:5]), np.hstack(labels[:5]), images[5], labels[5], names)


def prepare(data, held_out, rng):
    total = len(data.train_labels)
    if held_out <= 0 or held_out >= total:
        raise ValueError(held_out)
    outside = np.zeros(total, bool)
    outside[rng.choice(total, held_out, replace=False)] = True
    pixels = data.train_images[~outside].reshape(-1, 3)
    mean = pixels.mean(axis=0, dtype="float64") / 255
    std = np.sqrt(np.square(pixels / 255 - mean).mean(axis=0))

    def normal(images, labels):
        tensor = torch.tensor(np.moveaxis(images, 3, 1)).float().div_(255)
        tensor -= torch.tensor(mean).float().view(3, 1, 1)
        tensor /= torch.tensor(std).float().view(3, 1, 1)
        return tensor, torch.tensor(labels)

    train = normal(data.train_images[~outside], data.train_labels[~outside])
    validation = normal(data.train_images[outside], data.train_labels[outside])
    return Sets(train, validation, normal(data.test_images, data.test_labels), mean, std)


def augment(images, rng):
    height, width = images.shape[-2:]
    result = torch.empty_like(images)
    for image, out in zip(images, result, strict=True):
        top, left, mirror = rng.integers((9, 9, 2))
        border = image.new_zeros(len(image), height + 8, width + 8)
        border[:, 4:-4, 4:-4] = torch.fliplr(image.movedim(0, -1)).movedim(-1, 0) if mirror else image
        out.copy_(border[:, top : top + height, left : left + width])
    return result


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(3, width, 5, stride=2, padding=2)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(4 * width)
        self.head = nn.Linear(4 * width * 16, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.first_norm(self.first(x)).relu(), 2)
        x = nn.functional.max_pool2d(self.second_norm(self.second(x)).relu(), 2)
        return self.head(x.flatten(1))


def build_model(width=32):
    return Net(width)


def predict(model, images, batch_size=500):
    was_training = model.training
    model.train(False)
    found = images.new_zeros(len(images), dtype=torch.long)
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            found[start : start + batch_size] = model(images[start : start + batch_size]).argmax(-1)
    model.train(was_training)
    return found


def score(labels, predictions, classes=CLASSES):
    if np.shape(labels) != np.shape(predictions) or np.size(labels) < 1:
        raise ValueError("labels and predictions do not fit")
    matrix = np.zeros((classes, classes), "int64")
    np.add.at(matrix, (labels, predictions), 1)
    right = matrix.diagonal()
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(right / matrix.sum(0))
        recall = np.nan_to_num(right / matrix.sum(1))
        f1 = np.nan_to_num(2 / (1 / precision + 1 / recall))
    return Scores(np.mean(np.equal(labels, predictions)), precision, recall, f1, matrix)


def train(model, train_set, validation_set, epochs, rng, batch_size=64, rate=2e-3):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    criterion = nn.CrossEntropyLoss(reduction="sum")
    best, kept, history = float("-inf"), {}, []
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = rate * (1 - epoch / epochs)
        order = np.arange(len(train_set[0]))
        rng.shuffle(order)
        model.train()
        sum_of_losses = 0
        while len(order):
            now, order = order[:batch_size], order[batch_size:]
            loss = criterion(model(augment(train_set[0][now], rng)), train_set[1][now])
            model.zero_grad()
            (loss / len(now)).backward()
            optimizer.step()
            sum_of_losses += loss.item()
        accuracy = float(torch.eq(predict(model, validation_set[0]), validation_set[1]).float().mean())
        if accuracy > best:
            best = accuracy
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        history.append(Epoch(sum_of_losses / len(train_set[0]), accuracy))
    model.load_state_dict(kept)
    return history
