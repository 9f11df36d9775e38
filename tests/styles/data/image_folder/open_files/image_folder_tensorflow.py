"""Files are read by keras.utils.load_img, and the batches are a keras PyDataset."""

import math
import warnings
from io import BytesIO
from pathlib import Path

import keras
import tensorflow as tf
from PIL import Image

EXTENSIONS = (".jpg", ".jpeg", ".png")


class ImageFolder:
    def __init__(self, folder, transform=None, on_corrupt="raise"):
        if on_corrupt not in {"raise", "skip"}:
            raise ValueError(f"unknown value of on_corrupt: {on_corrupt}")
        if not Path(folder).is_dir():
            raise FileNotFoundError(folder)
        self.transform = transform
        self.paths, self.corrupt = [], []
        entries = {path.name: path for path in Path(folder).glob("*.*") if path.is_file()}
        for name in sorted(entries):
            if not name.lower().endswith(EXTENSIONS):
                continue
            if on_corrupt == "skip":
                try:
                    self._load(entries[name])
                except ValueError as error:
                    warnings.warn(str(error), stacklevel=2)
                    self.corrupt.append(entries[name])
                    continue
            self.paths.append(entries[name])

    @staticmethod
    def _load(path):
        file = BytesIO(path.read_bytes())
        try:
            image = keras.utils.img_to_array(keras.utils.load_img(file, color_mode="rgb"), dtype="float32")
            deep = Image.open(file)
            if deep.mode.startswith("I"):
                image = keras.ops.repeat(keras.utils.img_to_array(deep, dtype="float32") / 257, 3, axis=-1)
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{path.name}: {error}") from error
        return tf.convert_to_tensor(image / 255)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        image = self._load(self.paths[index])
        if self.transform is not None:
            image = self.transform(image)
        return image


class Batches(keras.utils.PyDataset):
    def __init__(self, dataset, batch_size, **options):
        super().__init__(**options)
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self):
        return math.ceil(len(self.dataset) / self.batch_size)

    def __getitem__(self, index):
        first = index * self.batch_size
        last = min(first + self.batch_size, len(self.dataset))
        return tf.stack([self.dataset[place] for place in range(first, last)])


def batches(dataset, batch_size, workers=0):
    return Batches(dataset, batch_size, workers=max(workers, 1))
