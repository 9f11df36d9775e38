"""Transfer learning with a ResNet, in TensorFlow.

A net that has seen a million images knows edges, textures and shapes; a new task with a few labels needs a new last
layer, and little else. Load the net, drop its last layer, put a new head on it and train that alone; then unfreeze the
rest and train it gently. What goes wrong most often is batch norm: trained on ten images, it forgets what a million
taught it (Yosinski et al. 2014, "How transferable are features"; He et al. 2015, "Deep residual learning").

Backbone   keras.applications.ResNet50 without its top, averaged over height and width.
Levels     1 backbone · 2 published weights · 3 frozen · 4 unfrozen · 5 transfer pays
Check      pytest -k transfer_learning
"""

from pathlib import Path

import keras
import numpy as np
from tensorflow import Tensor

FEATURES = 2048  # what the backbone gives for an image


def load_backbone(weights: str | Path | None = None) -> keras.Model:
    """A ResNet without its last layer: from images (N, height, width, 3) of any size to features (N, FEATURES).

    Args:
        weights: a file with the weights of the ResNet50 without its top, as Keras saves and publishes it. None: random
            weights, and nothing is fetched from the network.

    Raises:
        FileNotFoundError: there is no such file. What Keras says of a file with other weights comes through as it is.
    """
    raise NotImplementedError("load_backbone is yours to write")


def preprocess(images: Tensor) -> Tensor:
    """What the published weights were trained on: 255 · images, the channels in the order blue, green, red, − mean.

    Args:
        images: (N, height, width, 3), red, green and blue in [0, 1], floating point.

    Returns:
        The same shape and dtype; mean is (103.939, 116.779, 123.68), of blue, green and red.
    """
    raise NotImplementedError("preprocess is yours to write")


class Classifier(keras.Model):
    """A backbone and a head: logits = head(backbone(images)).

    Attributes:
        backbone: as given.
        head: a dense layer, fresh and built.
    """

    def __init__(self, backbone: keras.Model, features: int, classes: int, pretrained: bool):
        """Put a head on a backbone.

        Args:
            backbone: from images to features (N, features).
            features, classes: the sizes of the head.
            pretrained: True: the backbone begins frozen: no variable of it is trainable, and it runs in inference
                mode whatever the mode of the classifier, now and after `unfreeze`, so that batch norm neither uses
                nor updates the statistics of a batch. False: a net like any other.
        """
        raise NotImplementedError("Classifier.__init__ is yours to write")

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Return the logits, (N, classes)."""
        raise NotImplementedError("Classifier.call is yours to write")

    def unfreeze(self) -> None:
        """Make the backbone's variables trainable, but for the scales and shifts of its batch norms."""
        raise NotImplementedError("Classifier.unfreeze is yours to write")


def fit(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    rng: np.random.Generator,
    rate: float,
    backbone_rate: float | None = None,
    batch_size: int = 32,
) -> None:
    """Train in place, in training mode, with Adam on the cross-entropy: what is frozen stays as it is.

    Args:
        model: the classifier.
        images, labels: of one size, and (N,), int64.
        epochs: in each, every image is used once, in a new random order.
        rng: of the order.
        rate: Adam's learning rate for the head.
        backbone_rate: that for what is not frozen in the backbone; None: the same as for the head.
        batch_size: images in a batch; the last one of an epoch may be smaller.
    """
    raise NotImplementedError("fit is yours to write")
