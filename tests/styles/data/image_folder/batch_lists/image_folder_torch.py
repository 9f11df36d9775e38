"""The dataset fetches whole lists of indices, and the loader is given those lists in place of indices."""

import contextlib
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile
from torch.utils.data import DataLoader, Dataset, default_collate

EXTENSIONS = (".jpg", ".jpeg", ".png")


def read_rgb(path):
    parser = ImageFile.Parser()
    content = path.read_bytes()
    try:
        parser.feed(content)
        image = parser.close()
        if image.mode in ("I", "I;16"):
            image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
        canvas = Image.new("RGB", image.size)
        canvas.paste(image.convert("RGB"))
    except Exception as problem:
        raise ValueError(f"cannot decode {path}") from problem
    return torch.tensor(np.asarray(canvas, dtype=np.float32).transpose(2, 0, 1) * np.float32(1 / 255))


class ImageFolder(Dataset):
    def __init__(self, folder, transform=None, on_corrupt="raise"):
        match on_corrupt:
            case "raise" | "skip":
                pass
            case _:
                raise ValueError(on_corrupt)
        self.transform = transform
        candidates = [path for path in Path(folder).iterdir() if path.suffix.casefold() in EXTENSIONS]
        self.paths = sorted(filter(Path.is_file, candidates), key=str)
        self.corrupt = []
        if on_corrupt == "skip":
            sound = []
            for path in self.paths:
                with contextlib.suppress(ValueError):
                    read_rgb(path)
                    sound.append(path)
            self.corrupt = sorted(set(self.paths) - set(sound), key=str)
            self.paths = sound
        for path in self.corrupt:
            warnings.warn(f"{path.name} cannot be decoded and is left out", RuntimeWarning, stacklevel=2)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = read_rgb(self.paths[index])
        return self.transform(image) if self.transform else image

    def __getitems__(self, indices):
        return [self[index] for index in indices]


def batches(dataset, batch_size, workers=0):
    lists = [range(len(dataset))[start : start + batch_size] for start in range(0, len(dataset), batch_size)]
    return DataLoader(dataset, batch_sampler=lists, num_workers=workers, collate_fn=default_collate)
