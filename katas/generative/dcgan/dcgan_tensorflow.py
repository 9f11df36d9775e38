"""A convolutional GAN, in TensorFlow.

A GAN of dense layers has no idea that neighbouring pixels belong together. Radford et al. 2016 ("Unsupervised
representation learning with deep convolutional generative adversarial networks") found convolutional networks that
train stably: strides instead of pooling, batch norm nearly everywhere, ReLU in one network and leaky ReLU in the other,
a tanh at the end, and small random weights. Both networks here are theirs, with two steps of a factor two each:

    generator        tanh(up2(relu(norm2(up1(relu(norm1(reshape(dense(noise)))))))))
    discriminator    dense(flatten(leaky(norm(down2(leaky(down1(images)))))))

The layers are Keras's own, in attributes of exactly these names.

Sizes      dense makes (size/4)² places with 2 · width channels each, up1 leads to width channels at twice the height
           and width, up2 to the image. The discriminator mirrors it: down1 halves the image and leads to width
           channels, down2 halves again and leads to 2 · width, and dense to one logit. Images are square.
Layers     all four convolutions have kernels of 4 × 4, stride 2 and padding="same", which is one pixel on each side
           here. A layer with a norm right behind it has no bias; the others (up2, down1, the discriminator's dense)
           have one. There is no norm behind up2 nor behind down1. A norm has a scale and a shift per channel. leaky
           multiplies what is negative by 0.2.
Start      every kernel is drawn from a normal distribution of mean 0 and deviation 0.02, every scale of a norm (gamma)
           from one of mean 1 and deviation 0.02; biases and shifts are 0.
Levels     1 shapes · 2 generator · 3 discriminator · 4 two modes · 5 start · 6 gradients · 7 digits
Check      pytest -k dcgan
"""

import keras
from tensorflow import Tensor


class Generator(keras.Model):
    """Noise to images with values from -1 to 1."""

    def __init__(self, latent: int, size: int, channels: int = 3, width: int = 64):
        """Make the layers dense, norm1, up1, norm2 and up2.

        Args:
            latent: the width of the noise.
            size: the height and the width of the images, a positive multiple of four.
            channels: those of the images.
            width: the channels between up1 and up2; dense makes twice as many.

        Raises:
            ValueError: the size is not a positive multiple of four.
        """
        raise NotImplementedError("Generator.__init__ is yours to write")

    def call(self, noise: Tensor, training: bool = False) -> Tensor:
        """Images from noise.

        Args:
            noise: (batch, latent).
            training: whether the norms use the statistics of the batch and move those they keep towards them; otherwise
                they use those they keep, and leave them.

        Returns:
            (batch, size, size, channels). What dense makes is reshaped to (batch, size/4, size/4, 2 · width).
        """
        raise NotImplementedError("Generator.call is yours to write")


class Discriminator(keras.Model):
    """Images to logits, positive for real."""

    def __init__(self, size: int, channels: int = 3, width: int = 64):
        """Make the layers down1, down2, norm and dense: the arguments are the generator's.

        Raises:
            ValueError: the size is not a positive multiple of four.
        """
        raise NotImplementedError("Discriminator.__init__ is yours to write")

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Judge images.

        Args:
            images: (batch, size, size, channels); they are not written to.
            training: as in the generator.

        Returns:
            Logits (batch, 1), with no sigmoid behind them. For dense, (batch, size/4, size/4, 2 · width) is flattened
            in this order of axes.

        Raises:
            ValueError: the images have another height or width than `size`.
        """
        raise NotImplementedError("Discriminator.call is yours to write")
