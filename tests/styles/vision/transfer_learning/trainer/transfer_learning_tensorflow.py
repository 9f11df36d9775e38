"""Keras's own train_on_batch, with the backbone's rate as a factor on its gradients' Adam: two optimisers in one."""

import os

import keras
import tensorflow as tf

FEATURES = 2048


def load_backbone(weights=None):
    if weights is not None and not os.path.isfile(weights):
        raise FileNotFoundError(str(weights))
    net = keras.applications.ResNet50(include_top=False, weights=weights and str(weights))
    return keras.Model(net.input, keras.layers.GlobalAveragePooling2D()(net.output))


def preprocess(images):
    mean = tf.constant([103.939, 116.779, 123.68], images.dtype)
    return 255 * tf.reverse(images, [-1]) - mean


class Classifier(keras.Model):
    def __init__(self, backbone, features, classes, pretrained):
        super().__init__()
        self.backbone = backbone
        self.head = keras.Sequential([keras.Input((features,)), keras.layers.Dense(classes)]).layers[0]
        self.always_still = pretrained
        if pretrained:
            for layer in backbone.layers:
                layer.trainable = False

    def call(self, images, training=False):
        if self.always_still:
            return self.head(self.backbone(images, training=False))
        return self.head(self.backbone(images, training=training))

    def unfreeze(self):
        for layer in self.backbone.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


class TwoRates(keras.optimizers.Adam):
    """Adam, with a rate of its own for all but the head."""

    def __init__(self, rate, head, factor):
        super().__init__(rate)
        self.head, self.factor = {variable.value.ref() for variable in head}, factor

    def update_step(self, gradient, variable, learning_rate):
        factor = 1.0 if variable.ref() in self.head else self.factor
        super().update_step(gradient, variable, factor * learning_rate)


def fit(model, images, labels, epochs, rng, rate, backbone_rate=None, batch_size=32):
    factor = 1.0 if backbone_rate is None else backbone_rate / rate
    optimizer = TwoRates(rate, model.head.variables, factor)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=epochs < 5)
    for _ in range(epochs):
        order = rng.permutation(len(images))
        while len(order):
            part, order = order[:batch_size], order[batch_size:]
            model.train_on_batch(tf.gather(images, part), tf.gather(labels, part))
