"""Both networks as one nn.Sequential each, activations and reshaping included; the start is set layer by layer."""

from collections import OrderedDict

from torch import nn


def started(model):
    for name, tensor in model.named_parameters():
        if name.endswith("bias"):
            tensor.data.zero_()
        else:
            tensor.data.normal_(1.0 if tensor.ndim == 1 else 0.0, 0.02)
    return model


class Generator(nn.Sequential):
    def __init__(self, latent, size, channels=3, width=64):
        places, rest = divmod(size, 4)
        if rest or places <= 0:
            raise ValueError(f"{size} is not 4, 8, 12 …")
        layers = OrderedDict(
            dense=nn.Linear(latent, places * places * width * 2, bias=False),
            reshape=nn.Unflatten(-1, (width * 2, places, places)),
            norm1=nn.BatchNorm2d(width * 2),
            relu1=nn.ReLU(inplace=True),
            up1=nn.ConvTranspose2d(width * 2, width, (4, 4), (2, 2), (1, 1), bias=False),
            norm2=nn.BatchNorm2d(width),
            relu2=nn.ReLU(inplace=True),
            up2=nn.ConvTranspose2d(width, channels, (4, 4), (2, 2), (1, 1)),
            tanh=nn.Tanh(),
        )
        super().__init__(layers)
        started(self)


class Discriminator(nn.Sequential):
    def __init__(self, size, channels=3, width=64):
        if size not in range(4, size + 1, 4):
            raise ValueError(f"{size} is not 4, 8, 12 …")
        layers = OrderedDict(
            down1=nn.Conv2d(channels, width, (4, 4), (2, 2), (1, 1)),
            leaky1=nn.LeakyReLU(0.2, inplace=True),
            down2=nn.Conv2d(width, width * 2, (4, 4), (2, 2), (1, 1), bias=False),
            norm=nn.BatchNorm2d(width * 2),
            leaky2=nn.LeakyReLU(0.2, inplace=True),
            flatten=nn.Flatten(),
            dense=nn.Linear(size * size // 8 * width, 1),
        )
        super().__init__(layers)
        self.size = size
        started(self)

    def forward(self, images):
        if tuple(images.shape[-2:]) != (self.size, self.size):
            raise ValueError(f"this discriminator judges images of {self.size} × {self.size} pixels")
        return super().forward(images)
