"""Real data for tests, without a network: what scikit-learn and Python itself ship. Loaded when it is asked for."""

import re
from functools import cache

import numpy as np

TRAIN_SHARE = 0.8


def digits(split: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits: (images, labels), new arrays.

    Args:
        split: "train" (1437 images) or "test" (the other 360), always the same ones; None for all 1797 in their order.

    Returns:
        images: (n, 64), float64 from 0 (paper) to 1 (ink): 8 × 8 pixels, row by row.
        labels: (n,), int64 from 0 to 9.
    """
    images, labels = _digits()
    if split is None:
        return images.copy(), labels.copy()
    order = np.random.default_rng(0).permutation(len(images))
    middle = int(TRAIN_SHARE * len(order))
    chosen = {"train": order[:middle], "test": order[middle:]}
    if split not in chosen:
        raise ValueError(f"split must be 'train', 'test' or None, not {split!r}")
    return images[chosen[split]], labels[chosen[split]]


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images / 16, labels.astype("int64")


def photograph(name: str = "china.jpg") -> np.ndarray:
    """A colour photograph, "china.jpg" or "flower.jpg": (427, 640, 3), float64 from 0 to 1."""
    from sklearn.datasets import load_sample_image

    return load_sample_image(name) / 255


def english_text(letters_only: bool = True) -> str:
    """About half a million characters of English: the help texts that Python ships, in a fixed order.

    With `letters_only` it is lower case, and every run of other characters than a to z is one space.
    """
    from pydoc_data.topics import topics

    text = " ".join(topics[name] for name in sorted(topics))
    return re.sub("[^a-z]+", " ", text.lower()) if letters_only else text
