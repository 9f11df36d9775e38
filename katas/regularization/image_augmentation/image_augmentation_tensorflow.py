"""Image augmentation, in TensorFlow.

A net that has seen a cat on the left does not know a cat on the right. Augmentation changes each training image at
random, in ways that keep its label, so that every epoch shows other images (Krizhevsky et al. 2012; cutout: DeVries and
Taylor 2017). All chance lies in `draw`: one choice for every image, not one for the batch. The other functions
follow from their arguments, and so can be tested.

Images are (N, height, width, channels), floating point, from 0 to 1. Every function of images returns new ones
of the same shape and dtype. Choices are NumPy arrays of shape (N,).

Levels     1 shapes · 2 flip and crop · 3 rotation · 4 colours and cutout · 5 pipeline · 6 no loops · 7 worth it
Off limits keras.layers.RandomRotation, RandomFlip, RandomCrop and RandomColorJitter
Check      pytest -k image_augmentation
"""

from typing import NamedTuple

import numpy as np
from tensorflow import Tensor


class Choices(NamedTuple):
    """What `draw` draws: arrays of shape (N,)."""

    mirrored: np.ndarray  # bool
    top: np.ndarray  # integer, 0 to 2 · padding
    left: np.ndarray  # integer, 0 to 2 · padding
    degrees: np.ndarray  # float64
    brightness: np.ndarray  # float64
    contrast: np.ndarray  # float64
    saturation: np.ndarray  # float64
    row: np.ndarray  # integer, 0 to height − 1
    column: np.ndarray  # integer, 0 to width − 1


def draw(
    rng: np.random.Generator, number: int, height: int, width: int, padding: int, degrees: float, strength: float
) -> Choices:
    """Draw what `number` images need, from `rng` and in this order.

    1. mirrored      rng.random(number) < 0.5
    2. top, left     rng.integers(0, 2 * padding + 1, number), twice
    3. degrees       rng.uniform(-degrees, degrees, number)
    4. brightness, contrast, saturation      rng.uniform(1 - strength, 1 + strength, number), three times
    5. row, column   rng.integers(0, height, number), then rng.integers(0, width, number)
    """
    raise NotImplementedError("draw is yours to write")


def flip(images: Tensor, mirrored: np.ndarray) -> Tensor:
    """Mirror some images left to right.

    Args:
        images: (N, height, width, channels).
        mirrored: which of them.

    Raises:
        ValueError: there is not one choice for each image. (So do all the functions below.)
    """
    raise NotImplementedError("flip is yours to write")


def crop(images: Tensor, padding: int, top: np.ndarray, left: np.ndarray) -> Tensor:
    """Put `padding` zeros on every side, and cut the old size out again.

    Args:
        images: (N, height, width, channels).
        padding: in pixels.
        top, left: the row and column of the padded image where the cut begins; `padding` gives the image back.
    """
    raise NotImplementedError("crop is yours to write")


def rotate(images: Tensor, degrees: np.ndarray) -> Tensor:
    """Rotate each image about its centre, ((height − 1) / 2, (width − 1) / 2), counter-clockwise as one sees it.

    A pixel of the result takes the value at the place it comes from, mixed from the four pixels around that place by
    their distances (bilinear). Outside of the image everything is 0.

    Args:
        images: (N, height, width, channels).
        degrees: the angles; 90 gives np.rot90 of a square image.
    """
    raise NotImplementedError("rotate is yours to write")


def jitter(images: Tensor, brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray) -> Tensor:
    """Change the colours of each image by three factors, one after the other; 1 changes nothing.

        1. brightness    x · factor
        2. contrast      mean + factor · (x − mean), with the mean of the grey image
        3. saturation    grey + factor · (x − grey), with the grey of the same pixel

    Grey is 0.299 · red + 0.587 · green + 0.114 · blue. After each of the three, values are cut to 0 and 1.

    Args:
        images: (N, height, width, 3).
        brightness, contrast, saturation: the factors, not negative.

    Raises:
        ValueError: the images have not three channels.
    """
    raise NotImplementedError("jitter is yours to write")


def cutout(images: Tensor, size: int, row: np.ndarray, column: np.ndarray) -> Tensor:
    """Put zeros into a square of each image.

    Args:
        images: (N, height, width, channels).
        size: of the square, in pixels. What of it hangs over an edge is left out.
        row, column: the square covers the rows row − size // 2 to row − size // 2 + size − 1, and columns likewise.
    """
    raise NotImplementedError("cutout is yours to write")


class Pipeline:
    """All of them, one after the other, in the order of this file: flip, crop, rotate, jitter, cutout."""

    def __init__(
        self, rng: np.random.Generator, padding: int = 2, degrees: float = 10.0, strength: float = 0.2, size: int = 4
    ):
        """Keep what is needed later.

        Args:
            rng: the only source of chance.
            padding, degrees, strength: see `draw`.
            size: of the cutout.
        """
        raise NotImplementedError("Pipeline.__init__ is yours to write")

    def __call__(self, images: Tensor, labels: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Augment a batch.

        Args:
            images: (N, height, width, 3).
            labels: anything; they are returned as they are.
            training: False, in validation: the images are returned as they are too, and nothing is drawn.

        Returns:
            The images and the labels. With training, one call of `draw` makes the choices.
        """
        raise NotImplementedError("Pipeline.__call__ is yours to write")
