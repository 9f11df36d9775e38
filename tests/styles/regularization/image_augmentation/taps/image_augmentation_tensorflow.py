"""Rows and columns are chosen by products with matrices of zeros and ones, or of shares: no gather."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


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


def draw(rng, number, height, width, padding, degrees, strength):
    made = {"mirrored": rng.random(number) < 0.5}
    made |= {name: rng.integers(0, 2 * padding + 1, number) for name in ("top", "left")}
    made["degrees"] = rng.uniform(-degrees, degrees, number)
    for name in ("brightness", "contrast", "saturation"):
        made[name] = rng.uniform(1 - strength, 1 + strength, number)
    made |= {"row": rng.integers(0, height, number), "column": rng.integers(0, width, number)}
    return Choices(**made)


def spread(choice, images, dims=3):
    if np.size(choice) != images.shape[0]:
        raise ValueError(f"{np.size(choice)} choices, {images.shape[0]} images")
    return np.reshape(choice, (-1, *[1] * dims))


def flip(images, mirrored):
    chosen = tf.cast(spread(mirrored, images), images.dtype)
    return chosen * tf.image.flip_left_right(images) + (1 - chosen) * images


def shift(size, first, images):
    """(N, size, size): a one where row r of the result is row first + r of the image."""
    places = np.arange(size)
    return tf.cast(spread(first, images, 2) + places[:, None] == places, images.dtype)


def crop(images, padding, top, left):
    rows = shift(images.shape[1], top - padding, images)
    columns = shift(images.shape[2], left - padding, images)
    return tf.einsum("nyr,nxs,nrsc->nyxc", rows, columns, images)


def rotate(images, degrees):
    _, height, width, _ = images.shape
    angle = np.deg2rad(spread(degrees, images, 2))
    y, x = np.indices((height, width), dtype="float64")
    y, x = y - y.mean(), x - x.mean()
    row = np.sin(angle) * x + np.cos(angle) * y + (height - 1) / 2
    column = np.cos(angle) * x - np.sin(angle) * y + (width - 1) / 2
    rows = tf.nn.relu(1 - tf.abs(tf.cast(row[..., None] - np.arange(height), images.dtype)))
    columns = tf.nn.relu(1 - tf.abs(tf.cast(column[..., None] - np.arange(width), images.dtype)))
    return tf.einsum("nyxr,nyxs,nrsc->nyxc", rows, columns, images)


def jitter(images, brightness, contrast, saturation):
    if images.shape[3] != 3:
        raise ValueError("no colours")

    def grey(images):
        red, green, blue = tf.split(images, 3, axis=3)
        return 0.299 * red + 0.587 * green + 0.114 * blue

    bright, contrasted, saturated = (
        tf.cast(spread(factor, images), images.dtype) for factor in (brightness, contrast, saturation)
    )
    images = tf.minimum(bright * images, 1)
    mean = tf.reduce_mean(grey(images), (1, 2, 3), keepdims=True)
    images = tf.clip_by_value(contrasted * images + (1 - contrasted) * mean, 0, 1)
    return tf.clip_by_value(saturated * images + (1 - saturated) * grey(images), 0, 1)


def cutout(images, size, row, column):
    height, width = images.shape[1:3]
    first_row, first_column = spread(row, images, 2) - size // 2, spread(column, images, 2) - size // 2
    rows, columns = np.arange(height)[:, None], np.arange(width)
    outside = (rows < first_row) | (rows >= first_row + size)
    outside = outside | (columns < first_column) | (columns >= first_column + size)
    return images * tf.cast(outside[..., None], images.dtype)


class Pipeline:
    def __init__(self, rng, padding=2, degrees=10.0, strength=0.2, size=4):
        self.rng, self.settings, self.size = rng, (padding, degrees, strength), size

    def __call__(self, images, labels, training):
        if not training:
            return tf.identity(images), labels
        made = draw(self.rng, *images.shape[:3], *self.settings)
        images = crop(flip(images, made.mirrored), self.settings[0], made.top, made.left)
        images = jitter(rotate(images, made.degrees), *made[4:7])
        return cutout(images, self.size, *made[7:]), labels
