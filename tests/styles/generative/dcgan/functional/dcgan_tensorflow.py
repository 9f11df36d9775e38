"""The layers hold the weights and are built at once; functions do the work; Keras's context tells the mode."""

import keras
import tensorflow as tf


def started(layer, shape):
    layer.build(shape)
    for variable in layer.trainable_variables:
        if variable.name in ("kernel", "gamma"):
            variable.assign(float(variable.name == "gamma") + tf.random.normal(variable.shape, stddev=0.02))
    return layer


def norm_of(channels):
    return started(keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5), (None, None, None, channels))


class Network(keras.Model):
    def __init__(self, size):
        super().__init__()
        if size not in range(4, max(size, 4) + 1, 4):
            raise ValueError(f"cannot halve {size} twice")
        self.size = size


class Generator(Network):
    def __init__(self, latent, size, channels=3, width=64):
        super().__init__(size)
        self.dense = started(keras.layers.Dense(width * size**2 // 8, use_bias=False), (None, latent))
        self.norm1, self.norm2 = norm_of(2 * width), norm_of(width)
        inputs = (None, None, None, 2 * width), (None, None, None, width)
        self.up1 = started(keras.layers.Conv2DTranspose(width, 4, use_bias=False), inputs[0])
        self.up2 = started(keras.layers.Conv2DTranspose(channels, 4), inputs[1])

    def call(self, noise, training=False):
        x = tf.reshape(noise @ self.dense.kernel, (-1, self.size // 4, self.size // 4, self.norm1.gamma.shape[0]))
        x = doubled(tf.nn.relu(self.norm1(x)), self.up1.kernel)
        x = doubled(tf.nn.relu(self.norm2(x)), self.up2.kernel)
        return tf.math.tanh(tf.nn.bias_add(x, self.up2.bias))


class Discriminator(Network):
    def __init__(self, size, channels=3, width=64):
        super().__init__(size)
        self.down1 = started(keras.layers.Conv2D(width, 4), (None, None, None, channels))
        self.down2 = started(keras.layers.Conv2D(2 * width, 4, use_bias=False), (None, None, None, width))
        self.norm = norm_of(2 * width)
        self.dense = started(keras.layers.Dense(1), (None, width * size**2 // 8))

    def call(self, images, training=False):
        if images.shape[1] != self.size or images.shape[2] != self.size:
            raise ValueError(f"{self.size} × {self.size} pixels, please")
        x = tf.nn.conv2d(images, self.down1.kernel, 2, "SAME") + self.down1.bias
        x = tf.maximum(x, 0.2 * x)
        x = self.norm(tf.nn.conv2d(x, self.down2.kernel, 2, "SAME"))
        x = tf.maximum(x, 0.2 * x)
        return self.dense(tf.reshape(x, (tf.shape(x)[0], self.dense.kernel.shape[0])))


def doubled(x, kernel):
    batch, height, width, _ = x.shape
    return tf.nn.conv2d_transpose(x, kernel, (batch, 2 * height, 2 * width, kernel.shape[2]), 2, "SAME")
