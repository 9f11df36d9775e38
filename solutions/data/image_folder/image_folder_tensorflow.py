"""A dataset over a folder of images, in TensorFlow.

It holds paths and no images: an item is read, decoded and scaled when it is asked for, so the dataset is small,
can be pickled and is safe in threads. tf.io.decode_image makes RGB of any PNG or JPEG, scales to [0, 1] with a float
dtype, and refuses a file that is cut off. The bytes are read outside the `try`: a file that is missing is not a corrupt
one. tf.data traces what it maps, so the item, and with it the transform, goes through tf.py_function.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow import Tensor

EXTENSIONS = (".jpg", ".jpeg", ".png")


class ImageFolder:
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
        image = _decode(self.paths[index])
        return image if self.transform is None else self.transform(image)


def batches(dataset: ImageFolder, batch_size: int, workers: int = 0) -> tf.data.Dataset:
    def load(index: Tensor) -> Tensor:
        image = tf.py_function(lambda index: dataset[int(index)], [index], tf.float32)
        return tf.ensure_shape(image, (None, None, 3))

    indices = tf.data.Dataset.range(len(dataset))
    return indices.map(load, num_parallel_calls=workers or None).batch(batch_size)


def _decode(path: Path) -> Tensor:
    """The image of a file: (H, W, 3), float32, in [0, 1]."""
    data = path.read_bytes()
    try:
        return tf.io.decode_image(data, channels=3, dtype=tf.float32)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(f"{path} is corrupt: {error.message}") from error
