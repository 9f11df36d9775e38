"""Rows and columns are chosen by products with matrices of zeros and ones, or of shares: no grid_sample."""

from typing import NamedTuple

import numpy as np
import torch


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
    choice = torch.as_tensor(choice, device=images.device)
    if len(choice) != len(images):
        raise ValueError(f"{len(choice)} choices, {len(images)} images")
    return choice.reshape(-1, *[1] * dims)


def flip(images, mirrored):
    chosen = spread(mirrored, images).to(images.dtype)
    return chosen * torch.flip(images, [3]) + (1 - chosen) * images


def shift(size, first, images):
    """(N, size, size): a one where row r of the result is row first + r of the image."""
    places = torch.arange(size, device=images.device)
    return (spread(first, images, 2) + places[:, None] == places).to(images.dtype)


def crop(images, padding, top, left):
    rows = shift(images.shape[2], top - padding, images)
    columns = shift(images.shape[3], left - padding, images)
    return rows[:, None] @ images @ columns.mT[:, None]


def rotate(images, degrees):
    *_, height, width = images.shape
    angle = torch.deg2rad(spread(degrees, images, 2).to(images.dtype))
    y, x = torch.meshgrid(torch.arange(height).to(images), torch.arange(width).to(images), indexing="ij")
    y, x = y - y.mean(), x - x.mean()
    row = torch.sin(angle) * x + torch.cos(angle) * y + (height - 1) / 2
    column = torch.cos(angle) * x - torch.sin(angle) * y + (width - 1) / 2
    rows = (1 - (row[..., None] - torch.arange(height).to(images)).abs()).relu()
    columns = (1 - (column[..., None] - torch.arange(width).to(images)).abs()).relu()
    return torch.einsum("nyxr,nyxs,ncrs->ncyx", rows, columns, images)


def jitter(images, brightness, contrast, saturation):
    if images.size(1) != 3:
        raise ValueError("no colours")

    def grey(images):
        red, green, blue = images.split(1, dim=1)
        return 0.299 * red + 0.587 * green + 0.114 * blue

    bright, contrasted, saturated = (spread(f, images).to(images.dtype) for f in (brightness, contrast, saturation))
    images = torch.clamp(bright * images, max=1)
    images = torch.clip(contrasted * images + (1 - contrasted) * grey(images).mean((1, 2, 3), keepdim=True), 0, 1)
    return torch.clip(saturated * images + (1 - saturated) * grey(images), 0, 1)


def cutout(images, size, row, column):
    height, width = images.shape[2:]
    first_row, first_column = spread(row, images, 2) - size // 2, spread(column, images, 2) - size // 2
    rows, columns = torch.arange(height).to(first_row)[:, None], torch.arange(width).to(first_row)
    outside = (rows < first_row) | (rows >= first_row + size)
    outside = outside | (columns < first_column) | (columns >= first_column + size)
    return images * outside[:, None]


class Pipeline:
    def __init__(self, rng, padding=2, degrees=10.0, strength=0.2, size=4):
        self.rng, self.settings, self.size = rng, (padding, degrees, strength), size

    def __call__(self, images, labels, training):
        if not training:
            return images.clone(), labels
        made = draw(self.rng, len(images), *images.shape[2:], *self.settings)
        images = crop(flip(images, made.mirrored), self.settings[0], made.top, made.left)
        images = jitter(rotate(images, made.degrees), *made[4:7])
        return cutout(images, self.size, *made[7:]), labels
