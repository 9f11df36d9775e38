"""TensorFlow and Keras, imported in silence and with the settings that a short test needs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dojo.files import ROOT


@contextmanager
def quiet() -> Iterator[None]:
    """Send file descriptor 2 elsewhere: TensorFlow's C++ side greets on it, and no setting of its own stops that."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# Set before the import: Keras reads them then, and must find no settings of another project.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["KERAS_HOME"] = str(ROOT / ".dojo" / "keras")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# oneDNN compiles a kernel for each new shape, which costs more than all that a test computes with it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
with quiet():
    import keras
    import tensorflow as tf

__all__ = ["keras", "quiet", "tf"]
