"""Image augmentation, in NumPy.

What is drawn and what is done are apart: `draw` makes all choices, an array of N for each, and every function changes N
images by N choices at once. A crop is two index arrays; a rotation asks, for each pixel of the result, where it
comes from, and mixes the four pixels around that place. The traps: one choice for the whole batch, values that leave
the range from 0 to 1, and a pipeline that goes on drawing while it validates.
"""

from typing import NamedTuple

import numpy as np

GREY = (0.299, 0.587, 0.114)


class Choices(NamedTuple):
    mirrored: np.ndarray
    top: np.ndarray
    left: np.ndarray
    degrees: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray
    row: np.ndarray
    column: np.ndarray


def draw(
    rng: np.random.Generator, number: int, height: int, width: int, padding: int, degrees: float, strength: float
) -> Choices:
    return Choices(
        rng.random(number) < 0.5,
        *rng.integers(0, 2 * padding + 1, (2, number)),
        rng.uniform(-degrees, degrees, number),
        *rng.uniform(1 - strength, 1 + strength, (3, number)),
        rng.integers(0, height, number),
        rng.integers(0, width, number),
    )


def flip(images: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    _check(images, mirrored)
    return np.where(_each(mirrored), images[:, :, ::-1], images)


def crop(images: np.ndarray, padding: int, top: np.ndarray, left: np.ndarray) -> np.ndarray:
    _check(images, top, left)
    number, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows, columns = top[:, None] + np.arange(height), left[:, None] + np.arange(width)
    return padded[np.arange(number)[:, None, None], rows[:, :, None], columns[:, None, :]]


def rotate(images: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    _check(images, degrees)
    number, height, width, _ = images.shape
    angle = np.radians(degrees)[:, None, None]
    y, x = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2
    row = np.sin(angle) * x + np.cos(angle) * y + (height - 1) / 2
    column = np.cos(angle) * x - np.sin(angle) * y + (width - 1) / 2
    row, column = (np.clip(place, -1, size) for place, size in ((row, height), (column, width)))
    first_row, first_column = np.floor(row).astype(int), np.floor(column).astype(int)
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))  # what is outside is 0, and index -1 becomes 0
    rotated = np.zeros_like(images)
    for i in (0, 1):
        for j in (0, 1):
            share = np.abs(1 - i - (row - first_row)) * np.abs(1 - j - (column - first_column))
            corner = padded[np.arange(number)[:, None, None], first_row + 1 + i, first_column + 1 + j]
            rotated += share[..., None] * corner
    return rotated


def jitter(images: np.ndarray, brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray) -> np.ndarray:
    _check(images, brightness, contrast, saturation)
    if images.shape[-1] != 3:
        raise ValueError(f"colours need three channels, not {images.shape[-1]}")
    brightness, contrast, saturation = (
        _each(factor.astype(images.dtype)) for factor in (brightness, contrast, saturation)
    )
    images = np.clip(images * brightness, 0, 1)
    mean = _grey(images).mean(axis=(1, 2), keepdims=True)
    images = np.clip(mean + contrast * (images - mean), 0, 1)
    grey = _grey(images)
    return np.clip(grey + saturation * (images - grey), 0, 1)


def cutout(images: np.ndarray, size: int, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    _check(images, row, column)
    _, height, width, _ = images.shape
    rows = np.arange(height) - (row - size // 2)[:, None]
    columns = np.arange(width) - (column - size // 2)[:, None]
    cut = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[:, None, :]
    return np.where(cut[..., None], 0, images)


class Pipeline:
    def __init__(
        self, rng: np.random.Generator, padding: int = 2, degrees: float = 10.0, strength: float = 0.2, size: int = 4
    ):
        self.rng, self.padding, self.degrees, self.strength, self.size = rng, padding, degrees, strength, size

    def __call__(self, images: np.ndarray, labels: np.ndarray, training: bool) -> tuple[np.ndarray, np.ndarray]:
        if not training:
            return images, labels
        number, height, width, _ = images.shape
        made = draw(self.rng, number, height, width, self.padding, self.degrees, self.strength)
        images = crop(flip(images, made.mirrored), self.padding, made.top, made.left)
        images = jitter(rotate(images, made.degrees), made.brightness, made.contrast, made.saturation)
        return cutout(images, self.size, made.row, made.column), labels


def _check(images: np.ndarray, *choices: np.ndarray) -> None:
    for choice in choices:
        if choice.shape != (len(images),):
            raise ValueError(
                f"choices of shape {choice.shape} for {len(images)} images: each image needs one of its own"
            )


def _each(choice: np.ndarray) -> np.ndarray:
    return choice[:, None, None, None]


def _grey(images: np.ndarray) -> np.ndarray:
    return (images @ np.array(GREY, images.dtype))[..., None]
