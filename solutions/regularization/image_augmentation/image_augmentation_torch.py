"""Image augmentation, in PyTorch.

What is drawn and what is done are apart: `draw` makes all choices, an array of N for each, and every function changes N
images by N choices at once. A crop is two index tensors. A rotation asks, for each pixel of the result, where it comes
from, and grid_sample mixes the four pixels around that place; its coordinates run from -1 to 1 along each axis, so the
rotation is done in pixels before, or an image that is not square would be sheared. The other traps: one choice for the
whole batch, values that leave the range from 0 to 1, and a pipeline that goes on drawing while it validates.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

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
    return torch.where(_each(images, mirrored), images.flip(-1), images)


def crop(images: Tensor, padding: int, top: np.ndarray, left: np.ndarray) -> Tensor:
    number, channels, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    rows = _each(images, top) + torch.arange(height, device=images.device)[:, None]
    columns = _each(images, left) + torch.arange(width, device=images.device)
    each = torch.arange(number, device=images.device)[:, None, None, None]
    return padded[each, torch.arange(channels, device=images.device)[:, None, None], rows, columns]


def rotate(images: Tensor, degrees: np.ndarray) -> Tensor:
    height, width = images.shape[-2:]
    angle = _each(images, degrees)[:, 0].to(images.dtype).deg2rad()
    y = torch.arange(height, dtype=images.dtype, device=images.device)[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=images.dtype, device=images.device) - (width - 1) / 2
    column, row = angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y
    grid = torch.stack([2 * column / width, 2 * row / height], dim=-1)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def jitter(images: Tensor, brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray) -> Tensor:
    if images.shape[1] != 3:
        raise ValueError(f"colours need three channels, not {images.shape[1]}")
    brightness, contrast, saturation = (
        _each(images, factor).to(images.dtype) for factor in (brightness, contrast, saturation)
    )
    images = (images * brightness).clamp(0, 1)
    mean = _grey(images).mean(dim=(2, 3), keepdim=True)
    images = torch.lerp(mean, images, contrast).clamp(0, 1)
    return torch.lerp(_grey(images), images, saturation).clamp(0, 1)


def cutout(images: Tensor, size: int, row: np.ndarray, column: np.ndarray) -> Tensor:
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device)[:, None] - _each(images, row) + size // 2
    columns = torch.arange(width, device=images.device) - _each(images, column) + size // 2
    return images.masked_fill((rows >= 0) & (rows < size) & (columns >= 0) & (columns < size), 0)


class Pipeline:
    def __init__(
        self, rng: np.random.Generator, padding: int = 2, degrees: float = 10.0, strength: float = 0.2, size: int = 4
    ):
        self.rng, self.padding, self.degrees, self.strength, self.size = rng, padding, degrees, strength, size

    def __call__(self, images: Tensor, labels: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        if not training:
            return images, labels
        number, _, height, width = images.shape
        made = draw(self.rng, number, height, width, self.padding, self.degrees, self.strength)
        images = crop(flip(images, made.mirrored), self.padding, made.top, made.left)
        images = jitter(rotate(images, made.degrees), made.brightness, made.contrast, made.saturation)
        return cutout(images, self.size, made.row, made.column), labels


def _each(images: Tensor, choice: np.ndarray) -> Tensor:
    """A choice for each image, (N, 1, 1, 1), where the images are."""
    if choice.shape != (len(images),):
        raise ValueError(f"choices of shape {choice.shape} for {len(images)} images: each image needs one of its own")
    return torch.from_numpy(choice).to(images.device)[:, None, None, None]


def _grey(images: Tensor) -> Tensor:
    return torch.einsum("nchw,c->nhw", images, images.new_tensor(GREY))[:, None]
