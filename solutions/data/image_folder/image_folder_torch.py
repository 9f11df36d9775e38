"""A dataset over a folder of images, in PyTorch.

It holds paths and no images: an item is read, decoded and scaled when it is asked for, so the dataset is small,
can be sent to worker processes and is safe in threads. Pillow opens a file by its header alone; only decoding finds
a file that is cut off, which is why the search for corrupt files decodes all of them, once, before any worker starts.
The bytes are read outside the `try`: a file that is missing is not a corrupt one.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

EXTENSIONS = (".jpg", ".jpeg", ".png")


class ImageFolder(Dataset):
    def __init__(self, folder: str | Path, transform: Callable[[Tensor], Any] | None = None, on_corrupt: str = "raise"):
        if on_corrupt not in ("raise", "skip"):
            raise ValueError(f"on_corrupt must be 'raise' or 'skip', not {on_corrupt!r}")
        self.transform = transform
        files = (path for path in Path(folder).iterdir() if path.suffix.lower() in EXTENSIONS and path.is_file())
        self.paths, self.corrupt = [], []
        for path in sorted(files, key=lambda path: path.name):
            try:
                if on_corrupt == "skip":
                    _decode(path)
            except ValueError:
                self.corrupt.append(path)
            else:
                self.paths.append(path)
        if self.corrupt:
            warnings.warn(f"skipped corrupt files: {', '.join(map(str, self.corrupt))}", stacklevel=2)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        pixels = torch.from_numpy(_decode(self.paths[index]))
        image = pixels.permute(2, 0, 1) / 255
        return image if self.transform is None else self.transform(image)


def batches(dataset: ImageFolder, batch_size: int, workers: int = 0) -> DataLoader:
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers)


def _decode(path: Path) -> np.ndarray:
    """The pixels of a file: (H, W, 3), uint8."""
    data = path.read_bytes()
    try:
        return _rgb(Image.open(io.BytesIO(data)))
    except Exception as error:
        raise ValueError(f"{path} is corrupt: {error}") from error


def _rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3), uint8. Of 16 bits of grey the upper 8 are taken first: `convert` alone would cut them off at 255."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    return np.array(image.convert("RGB"))
