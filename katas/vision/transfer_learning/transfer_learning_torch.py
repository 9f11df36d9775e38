"""Transfer learning with a ResNet, in PyTorch.

A net that has seen a million images knows edges, textures and shapes; a new task with a few labels needs a new last
layer, and little else. Load the net, drop its last layer, put a new head on it and train that alone; then unfreeze the
rest and train it gently. What goes wrong most often is batch norm: trained on ten images, it forgets what a million
taught it (Yosinski et al. 2014, "How transferable are features"; He et al. 2015, "Deep residual learning").

Backbone   ResNet-18: torchvision's, where that is installed, or your own with the same names in its state_dict:
           conv1 (7×7, 64 channels, stride 2, padding 3), bn1, ReLU, a 3×3 maximum with stride 2 and padding 1; layer1
           to layer4 with 64, 128, 256 and 512 channels, each a Sequential of two basic blocks; the mean over height
           and width. A block is relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut), 3×3 convolutions with padding 1. The
           first block of layer2, 3 and 4 has stride 2 in conv1, and its shortcut is `downsample`, a Sequential of
           a 1×1 convolution with stride 2 and a batch norm; the other shortcuts are x. No convolution has a bias.
Levels     1 backbone · 2 published weights · 3 frozen · 4 unfrozen · 5 transfer pays
Check      pytest -k transfer_learning
"""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

FEATURES = 512  # what the backbone gives for an image


def load_backbone(weights: str | Path | None = None) -> nn.Module:
    """A ResNet without its last layer: from images (N, 3, height, width) to features (N, FEATURES).

    Args:
        weights: a file with a state_dict of the whole ResNet-18, as torchvision publishes it: the 120 entries of the
            backbone, and fc.weight and fc.bias, which are not needed and may be missing. None: random weights.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not hold these weights: an entry is missing, has another shape or is unknown, it is
            no state_dict, or no file of PyTorch's. No code in the file is run.
    """
    raise NotImplementedError("load_backbone is yours to write")


def preprocess(images: Tensor) -> Tensor:
    """What the published weights were trained on: (images − mean) / std, channel by channel.

    Args:
        images: (N, 3, height, width), red, green and blue in [0, 1], floating point.

    Returns:
        The same shape and dtype; mean is (0.485, 0.456, 0.406), std is (0.229, 0.224, 0.225).
    """
    raise NotImplementedError("preprocess is yours to write")


class Classifier(nn.Module):
    """A backbone and a head: logits = head(backbone(images)).

    Attributes:
        backbone: as given.
        head: a linear layer, fresh.
    """

    def __init__(self, backbone: nn.Module, features: int, classes: int, pretrained: bool):
        """Put a head on a backbone.

        Args:
            backbone: from images to features (N, features).
            features, classes: the sizes of the head.
            pretrained: True: the backbone begins frozen: no parameter of it takes a gradient, and it runs in evaluation
                mode whatever the mode of the classifier, now and after `unfreeze`, so that batch norm neither uses
                nor updates the statistics of a batch. False: a net like any other.
        """
        raise NotImplementedError("Classifier.__init__ is yours to write")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, classes)."""
        raise NotImplementedError("Classifier.forward is yours to write")

    def unfreeze(self) -> None:
        """Let the backbone's parameters take gradients, but for the scales and shifts of its batch norms."""
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
