"""Both networks in Keras's functional API, which knows the shapes and refuses other images itself."""

import keras
from keras import layers
from keras.initializers import RandomNormal


class Generator(keras.Model):
    def __init__(self, latent, size, channels=3, width=64):
        places = places_of(size)
        noise = keras.Input((latent,))
        x = layers.Dense(places**2 * width * 2, use_bias=False, name="dense", **small("kernel"))(noise)
        x = layers.Reshape((places, places, width * 2))(x)
        x = layers.BatchNormalization(name="norm1", **small("gamma"))(x)
        x = layers.ReLU()(x)
        x = layers.Conv2DTranspose(width, 4, 2, "same", use_bias=False, name="up1", **small("kernel"))(x)
        x = layers.BatchNormalization(name="norm2", **small("gamma"))(x)
        x = layers.ReLU()(x)
        x = layers.Conv2DTranspose(channels, 4, 2, "same", activation="tanh", name="up2", **small("kernel"))(x)
        super().__init__(noise, x)
        expose(self)


class Discriminator(keras.Model):
    def __init__(self, size, channels=3, width=64):
        places_of(size)
        images = keras.Input((size, size, channels))
        x = layers.ZeroPadding2D(1)(images)
        x = layers.Conv2D(width, 4, 2, name="down1", **small("kernel"))(x)
        x = layers.LeakyReLU(0.2)(x)
        x = layers.ZeroPadding2D(1)(x)
        x = layers.Conv2D(width * 2, 4, 2, use_bias=False, name="down2", **small("kernel"))(x)
        x = layers.BatchNormalization(name="norm", **small("gamma"))(x)
        x = layers.LeakyReLU(0.2)(x)
        x = layers.Dense(1, name="dense", **small("kernel"))(layers.Flatten()(x))
        super().__init__(images, x)
        expose(self)


def expose(model):
    for layer in model.layers:
        if layer.name in ("dense", "norm1", "up1", "norm2", "up2", "down1", "down2", "norm"):
            setattr(model, layer.name, layer)


def places_of(size):
    if size <= 0 or size & 3:
        raise ValueError(f"{size} is not divisible by four")
    return size >> 2


def small(weight):
    return {f"{weight}_initializer": RandomNormal(mean=float(weight == "gamma"), stddev=0.02)}
