"""A dataset over a folder of image files, in PyTorch.

Real folders are messy: extensions in capitals, notes between the pictures, grey and palette files, a download that
was cut off. A map-style dataset (a length, and an item for each index) makes one clean sequence of them, in an order
that is the same on every machine. It reads an image when it is asked for, not before, and several workers may ask at
once. With this class every training script on images begins.

Levels     1 which files · 2 pixels · 3 all to RGB · 4 transforms, on demand · 5 corrupt files raise ·
           6 corrupt files skipped · 7 batches and workers
Off limits torchvision.datasets.ImageFolder
Check      pytest -k image_folder
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

EXTENSIONS = (".jpg", ".jpeg", ".png")


class ImageFolder(Dataset):
    """The images of one folder, by index.

    Attributes:
        paths: list of pathlib.Path, the file of each index.
        corrupt: list of pathlib.Path, the files that were left out, sorted too; empty unless on_corrupt is "skip".
    """

    def __init__(self, folder: str | Path, transform: Callable[[Tensor], Any] | None = None, on_corrupt: str = "raise"):
        """Find the images: the files in the folder whose extension is one of EXTENSIONS, in small or capital letters.

        They are sorted by name, as Python sorts strings. Folders in the folder are left alone, whatever their name. A
        folder without images is a dataset of length 0.

        Args:
            folder: where the files lie.
            transform: called with the image each time that one is asked for; what it returns is the item.
            on_corrupt: what to do with a file that cannot be decoded (it is no image, it is cut off, its data are
                broken). "raise": nothing here; asking for it raises. "skip": decode every file once, here, and leave
                out those that fail, with a warning (warnings.warn) that names each of them.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: on_corrupt is neither "raise" nor "skip".
        """
        raise NotImplementedError("ImageFolder.__init__ is yours to write")

    def __len__(self) -> int:
        """The number of images."""
        raise NotImplementedError("ImageFolder.__len__ is yours to write")

    def __getitem__(self, index: int) -> Any:
        """Read one image from its file, a PNG or a JPEG: what the file holds decides, and not its extension.

        Args:
            index: from −len to len − 1; −1 is the last image.

        Returns:
            (3, height, width), float32, in [0, 1]: red, green and blue, of which 0 is none and 1 is full. A grey
            file, of 8 or of 16 bits, has the same value in all three; transparency is dropped. With a transform: what
            that returns.

        Raises:
            IndexError: there is no such index.
            FileNotFoundError: the file has gone since.
            ValueError: the file is corrupt; the message holds its name.
            What the transform raises comes through as it is.
        """
        raise NotImplementedError("ImageFolder.__getitem__ is yours to write")


def batches(dataset: ImageFolder, batch_size: int, workers: int = 0) -> DataLoader:
    """The items of the dataset in batches, in order; the last batch may be smaller.

    Args:
        dataset: its items are images of one size.
        batch_size: images in a batch.
        workers: how many worker processes read; 0: the calling process reads. They may be started by any method of
            multiprocessing, so the dataset must survive pickle.

    Returns:
        An iterable over tensors (batch, 3, height, width), float32. Each pass over it reads the files anew.
    """
    raise NotImplementedError("batches is yours to write")
