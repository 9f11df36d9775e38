"""The inverted bottleneck as a functional model: the graph is drawn once, in the constructor."""

import keras
from keras.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    GlobalAveragePooling2D,
    Input,
    Multiply,
)


def squeezed_channels(in_channels, se_ratio=0.25):
    kept = in_channels * se_ratio // 1
    return int(kept) if kept >= 1 else 1


class SqueezeExcitation(keras.Model):
    def __init__(self, channels, squeezed):
        if squeezed < 1:
            raise ValueError(f"squeezed is {squeezed}")
        images = Input((None, None, channels))
        narrow, widen = Conv2D(squeezed, 1), Conv2D(channels, 1)
        mean = GlobalAveragePooling2D(keepdims=True)(images)
        gate = Activation("sigmoid")(widen(Activation("silu")(narrow(mean))))
        super().__init__(images, Multiply()([images, gate]))
        self.narrow, self.widen = narrow, widen


class MBConv(keras.Model):
    def __init__(self, in_channels, channels, kernel_size=3, stride=1, expand_ratio=6, se_ratio=0.25):
        if kernel_size % 2 != 1 or expand_ratio < 1:
            raise ValueError(f"kernel_size {kernel_size}, expand_ratio {expand_ratio}")
        wide = expand_ratio * in_channels
        images = Input((None, None, in_channels))
        made = {"expand": None, "expand_norm": None}
        x = images
        if wide != in_channels:
            made = {"expand": Conv2D(wide, 1, use_bias=False), "expand_norm": BatchNormalization()}
            x = Activation("swish")(made["expand_norm"](made["expand"](x)))
        made["depthwise"] = Conv2D(wide, kernel_size, stride, groups=wide, use_bias=False)
        made["depthwise_norm"] = BatchNormalization()
        made["excitation"] = SqueezeExcitation(wide, squeezed_channels(in_channels, se_ratio))
        made["project"], made["project_norm"] = Conv2D(channels, 1, use_bias=False), BatchNormalization()
        x = keras.ops.pad(x, ((0, 0), *[(kernel_size // 2,) * 2] * 2, (0, 0)))
        x = made["excitation"](Activation("swish")(made["depthwise_norm"](made["depthwise"](x))))
        x = made["project_norm"](made["project"](x))
        super().__init__(images, x if stride > 1 or channels != in_channels else x + images)
        for name, layer in made.items():
            setattr(self, name, layer)
