"""Files are opened by Pillow itself, pixels are stacked channel by channel, and the loader stacks lists of indices."""

import os
import warnings
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

EXTENSIONS = (".jpg", ".jpeg", ".png")


class ImageFolder(Dataset):
    def __init__(self, folder, transform=None, on_corrupt="raise"):
        if on_corrupt not in {"raise", "skip"}:
            raise ValueError(f"unknown value of on_corrupt: {on_corrupt}")
        self.transform = transform
        self.paths, self.corrupt = [], []
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries if entry.is_file() and entry.name.lower().endswith(EXTENSIONS)
            )
        for name in names:
            path = Path(folder, name)
            if on_corrupt == "skip":
                try:
                    self._load(path)
                except ValueError as error:
                    warnings.warn(str(error), stacklevel=2)
                    self.corrupt.append(path)
                    continue
            self.paths.append(path)

    @staticmethod
    def _load(path):
        with open(path, "rb") as file:
            try:
                with Image.open(file) as image:
                    image.load()
                    if image.mode.startswith("I"):
                        image = image.convert("I").point(lambda grey: grey * (1 / 256)).convert("L")
                    bands = image.convert("RGB").split()
            except (OSError, SyntaxError, ValueError) as error:
                raise ValueError(f"{path.name}: {error}") from error
        width, height = bands[0].size
        planes = [torch.frombuffer(bytearray(band.tobytes()), dtype=torch.uint8) for band in bands]
        return torch.stack(planes).view(3, height, width).to(torch.float32).div_(255)

    def __len__(self):
        return self.paths.__len__()

    def __getitem__(self, index):
        image = self._load(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image


def batches(dataset, batch_size, workers=0):
    sampler = BatchSampler(SequentialSampler(dataset), batch_size, drop_last=False)
    return DataLoader(dataset, batch_sampler=sampler, num_workers=workers, collate_fn=torch.stack)
