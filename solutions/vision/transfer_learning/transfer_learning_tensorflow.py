"""Transfer learning with a ResNet, in TensorFlow.

Keras brings the ResNet; without its top and with an average it is a backbone. Frozen means two things: no variable is
trainable, and the backbone is called with training=False. Keras does the second by itself for a batch norm that is not
trainable, until somebody unfreezes it, so it is said here for good. Two rates are two optimisers.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

FEATURES = 2048


def load_backbone(weights: str | Path | None = None) -> keras.Model:
    if weights is not None and not Path(weights).exists():
        raise FileNotFoundError(weights)
    backbone = keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")
    if weights is not None:
        backbone.load_weights(weights)
    return backbone


def preprocess(images: Tensor) -> Tensor:
    return keras.applications.resnet.preprocess_input(255 * images)


class Classifier(keras.Model):
    def __init__(self, backbone: keras.Model, features: int, classes: int, pretrained: bool):
        super().__init__()
        self.backbone, self.head, self.pretrained = backbone, keras.layers.Dense(classes), pretrained
        self.head.build((None, features))
        backbone.trainable = not pretrained

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        return self.head(self.backbone(images, training=training and not self.pretrained))

    def unfreeze(self) -> None:
        self.backbone.trainable = True
        for layer in self.backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


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
    heads, backs = model.head.trainable_variables, model.backbone.trainable_variables
    head_optimizer = keras.optimizers.Adam(rate)
    back_optimizer = keras.optimizers.Adam(rate if backbone_rate is None else backbone_rate)
    head_optimizer.build(heads), back_optimizer.build(backs)  # inside a function that costs a second trace

    def step(images: Tensor, labels: Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
            loss = tf.reduce_mean(losses)
        head_gradients, back_gradients = tape.gradient(loss, (heads, backs))
        head_optimizer.apply(head_gradients, heads)
        if backs:
            back_optimizer.apply(back_gradients, backs)

    parts = range(batch_size, len(images), batch_size)
    if epochs * (len(parts) + 1) > 10:  # a trace costs as much as ten steps
        step = tf.function(step, reduce_retracing=True)
    for _ in range(epochs):
        for indices in np.split(rng.permutation(len(images)), parts):
            step(tf.gather(images, indices), tf.gather(labels, indices))
