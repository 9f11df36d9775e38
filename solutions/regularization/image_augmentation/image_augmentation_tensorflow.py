"""Image augmentation, in TensorFlow.

What is drawn and what is done are apart: `draw` makes all choices, an array of N for each, and every function changes N
images by N choices at once. A crop is two gathers with a batch axis. A rotation asks, for each pixel of the result,
where it comes from; TensorFlow's projective transform takes that map, eight numbers an image, and mixes the four pixels
around each place. The traps: one choice for the whole batch, values that leave the range from 0 to 1, and a pipeline
that goes on drawing while it validates.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

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


def flip(images: Tensor, mirrored: np.ndarray) -> Tensor:
    _check(images, mirrored)
    return tf.where(mirrored[:, None, None, None], tf.reverse(images, [2]), images)


def crop(images: Tensor, padding: int, top: np.ndarray, left: np.ndarray) -> Tensor:
    _check(images, top, left)
    _, height, width, _ = images.shape
    padded = tf.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows = tf.gather(padded, top[:, None] + np.arange(height), axis=1, batch_dims=1)
    return tf.gather(rows, left[:, None] + np.arange(width), axis=2, batch_dims=1)


def rotate(images: Tensor, degrees: np.ndarray) -> Tensor:
    _check(images, degrees)
    _, height, width, _ = images.shape
    sin, cos, y, x = np.sin(np.radians(degrees)), np.cos(np.radians(degrees)), (height - 1) / 2, (width - 1) / 2
    nothing = np.zeros_like(sin)
    comes_from = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, nothing, nothing]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=np.stack(comes_from, axis=1).astype("float32"),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def jitter(images: Tensor, brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray) -> Tensor:
    _check(images, brightness, contrast, saturation)
    if images.shape[-1] != 3:
        raise ValueError(f"colours need three channels, not {images.shape[-1]}")
    brightness, contrast, saturation = (
        tf.cast(factor[:, None, None, None], images.dtype) for factor in (brightness, contrast, saturation)
    )
    images = tf.clip_by_value(images * brightness, 0, 1)
    mean = tf.reduce_mean(_grey(images), axis=(1, 2), keepdims=True)
    images = tf.clip_by_value(mean + contrast * (images - mean), 0, 1)
    grey = _grey(images)
    return tf.clip_by_value(grey + saturation * (images - grey), 0, 1)


def cutout(images: Tensor, size: int, row: np.ndarray, column: np.ndarray) -> Tensor:
    _check(images, row, column)
    _, height, width, _ = images.shape
    rows = np.arange(height)[:, None] - row[:, None, None] + size // 2
    columns = np.arange(width) - column[:, None, None] + size // 2
    cut = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    return tf.where(cut[..., None], tf.zeros((), images.dtype), images)


class Pipeline:
    def __init__(
        self, rng: np.random.Generator, padding: int = 2, degrees: float = 10.0, strength: float = 0.2, size: int = 4
    ):
        self.rng, self.padding, self.degrees, self.strength, self.size = rng, padding, degrees, strength, size

    def __call__(self, images: Tensor, labels: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        if not training:
            return images, labels
        number, height, width, _ = images.shape
        made = draw(self.rng, number, height, width, self.padding, self.degrees, self.strength)
        images = crop(flip(images, made.mirrored), self.padding, made.top, made.left)
        images = jitter(rotate(images, made.degrees), made.brightness, made.contrast, made.saturation)
        return cutout(images, self.size, made.row, made.column), labels


def _check(images: Tensor, *choices: np.ndarray) -> None:
    for choice in choices:
        if choice.shape != (len(images),):
            raise ValueError(
                f"choices of shape {choice.shape} for {len(images)} images: each image needs one of its own"
            )


def _grey(images: Tensor) -> Tensor:
    return tf.tensordot(images, tf.constant(GREY, images.dtype), 1)[..., None]
