"""The batches come from a Python generator that tf.data starts anew for each pass; a pool of threads
reads the images of one batch."""

import contextlib
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

EXTENSIONS = (".jpg", ".jpeg", ".png")


def read_rgb(path):
    content = path.read_bytes()
    try:
        pixels = tf.io.decode_png(content, channels=3)  # it decodes JPEG too
    except tf.errors.OpError as problem:
        raise ValueError(f"cannot decode {path}") from problem
    return tf.image.convert_image_dtype(pixels, tf.float32)


class ImageFolder:
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


def batches(dataset, batch_size, workers=0):
    def stream():
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            for start in range(0, len(dataset), batch_size):
                yield tf.stack(list(pool.map(dataset.__getitem__, range(len(dataset))[start : start + batch_size])))

    signature = tf.TensorSpec((None, None, None, 3), tf.float32)
    return tf.data.Dataset.from_generator(stream, output_signature=signature).prefetch(1)
