"""One image at a time: right, and stopped where operations are counted."""

from collections import namedtuple

import numpy as np

STOPS_AT_LEVEL = 6
Choices = namedtuple("Choices", "mirrored top left degrees brightness contrast saturation row column")


def draw(rng, number, height, width, padding, degrees, strength):
    mirrored = rng.random(number) < 1 / 2
    top = rng.integers(2 * padding, size=number, endpoint=True)
    left = rng.integers(2 * padding, size=number, endpoint=True)
    angles = rng.uniform(-degrees, degrees, size=number)
    brightness = rng.uniform(1 - strength, 1 + strength, size=number)
    contrast = rng.uniform(1 - strength, 1 + strength, size=number)
    saturation = rng.uniform(1 - strength, 1 + strength, size=number)
    row = rng.integers(height, size=number)
    column = rng.integers(width, size=number)
    return Choices(mirrored, top, left, angles, brightness, contrast, saturation, row, column)


def one_by_one(function, images, *choices):
    if any(len(choice) != len(images) for choice in choices):
        raise ValueError("there must be a choice for each image")
    return np.array([function(*each) for each in zip(images, *choices, strict=True)], images.dtype)


def flip(images, mirrored):
    return one_by_one(lambda image, now: np.fliplr(image) if now else image, images, mirrored)


def crop(images, padding, top, left):
    def cut(image, first, second):
        height, width = image.shape[:2]
        image = np.pad(image, [(padding, padding), (padding, padding), (0, 0)])
        return np.roll(image, (-first, -second), (0, 1))[:height, :width]

    return one_by_one(cut, images, top, left)


def rotate(images, degrees):
    def turn(image, angle):
        height, width = image.shape[:2]
        matrix = np.exp(1j * np.deg2rad(angle))  # a place is a complex number: column + i · row
        y, x = np.indices((height, width))
        place = (x - (width - 1) / 2 + 1j * (y - (height - 1) / 2)) * matrix
        place += (width - 1) / 2 + 1j * (height - 1) / 2
        rows = np.maximum(0, 1 - np.abs(place.imag[..., None] - np.arange(height)))
        columns = np.maximum(0, 1 - np.abs(place.real[..., None] - np.arange(width)))
        return np.einsum("hwr,hwc,rcn->hwn", rows, columns, image)

    return one_by_one(turn, images, degrees)


def jitter(images, brightness, contrast, saturation):
    if images.shape[3] != 3:
        raise ValueError("red, green and blue are needed")

    def colour(image, bright, contrasted, saturated):
        image = np.minimum(image * bright, 1)
        grey = np.average(image, axis=2, weights=(299, 587, 114))
        image = np.clip((1 - contrasted) * grey.mean() + contrasted * image, 0, 1)
        grey = np.average(image, axis=2, weights=(299, 587, 114), keepdims=True)
        return np.clip((1 - saturated) * grey + saturated * image, 0, 1)

    return one_by_one(colour, images, brightness, contrast, saturation)


def cutout(images, size, row, column):
    def cut(image, r, c):
        image, r, c = image.copy(), r - size // 2, c - size // 2
        image[max(r, 0) : max(r + size, 0), max(c, 0) : max(c + size, 0)] = 0
        return image

    return one_by_one(cut, images, row, column)


class Pipeline:
    def __init__(self, rng, padding=2, degrees=10.0, strength=0.2, size=4):
        self.draw = lambda *shape: draw(rng, *shape, padding, degrees, strength)
        self.padding, self.size = padding, size

    def __call__(self, images, labels, training):
        if training:
            made = self.draw(*images.shape[:3])
            images = flip(images, made.mirrored)
            images = crop(images, self.padding, made.top, made.left)
            images = rotate(images, made.degrees)
            images = jitter(images, made.brightness, made.contrast, made.saturation)
            images = cutout(images, self.size, made.row, made.column)
        return images, labels
