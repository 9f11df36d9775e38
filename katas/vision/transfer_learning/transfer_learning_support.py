"""What transfer_learning is compared with: the ResNet that each framework publishes, and a small backbone.

PyTorch's ResNet-18 is `forward_by_hand`, in NumPy, on a file in torchvision's layout; that of TensorFlow comes from
keras.applications itself.
"""

import numpy as np
import pytest

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

# The small backbone: three convolutions with batch norm, from images of one channel to NUMBERS features.
NUMBERS = 32
SIZES = [(1, 16, 1), (16, 32, 2), (32, NUMBERS, 2)]


def blocks():
    """The eight blocks of ResNet-18: name, channels in and out, and stride."""
    channels = 64
    for stage, out in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            yield f"layer{stage}.{block}", channels, out, 1 if channels == out else 2
            channels = out


def published_shapes():
    """The state_dict that torchvision publishes for ResNet-18: name to shape, all 122."""
    shapes = {}

    def add(convolution, norm, out, channels, size):
        shapes[f"{convolution}.weight"] = (out, channels, size, size)
        shapes.update({f"{norm}.{part}": () if part == "num_batches_tracked" else (out,) for part in NORM})

    add("conv1", "bn1", 64, 3, 7)
    for name, channels, out, stride in blocks():
        add(f"{name}.conv1", f"{name}.bn1", out, channels, 3)
        add(f"{name}.conv2", f"{name}.bn2", out, out, 3)
        if stride == 2:
            add(f"{name}.downsample.0", f"{name}.downsample.1", out, channels, 1)
    return shapes | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def published_weights(rng):
    """Arrays under the published names, of sizes at which a signal neither dies nor explodes."""
    weights = {}
    for name, shape in published_shapes().items():
        if len(shape) == 1 and name.endswith(("running_var", "weight")):
            weights[name] = rng.uniform(0.5, 1.5, shape).astype("float32")
        else:
            spread = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.3
            weights[name] = (spread * rng.standard_normal(shape)).astype("float32") if shape else np.array(17)
    return weights


def convolved(x, kernel, stride, padding):
    """x (N, H, W, C), kernel (out, in, h, w) as PyTorch keeps it."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = (stride * ((length - kernel.shape[-1]) // stride + 1) for length in x.shape[1:3])
    return sum(
        x[:, i : i + height : stride, j : j + width : stride] @ kernel[:, :, i, j].T
        for i, j in np.ndindex(kernel.shape[2:])
    )


def forward_by_hand(weights, images):
    """Features (N, 512) of images (N, H, W, 3)."""

    def part(x, convolution, norm, stride, padding):
        x = convolved(x, weights[f"{convolution}.weight"].astype("float64"), stride, padding)
        scale, shift, mean, variance = (weights[f"{norm}.{name}"].astype("float64") for name in NORM[:4])
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift

    x = np.pad(np.maximum(part(images, "conv1", "bn1", 2, 3), 0), ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-1, -2))
    for name, _, _, stride in blocks():
        branch = np.maximum(part(x, f"{name}.conv1", f"{name}.bn1", stride, 1), 0)
        branch = part(branch, f"{name}.conv2", f"{name}.bn2", 1, 1)
        x = part(x, f"{name}.downsample.0", f"{name}.downsample.1", 2, 0) if stride == 2 else x
        x = np.maximum(branch + x, 0)
    return x.mean(axis=(1, 2))


class ResNet18:
    """PyTorch's: the kata builds it, and reads torchvision's file."""

    def check(self, fw, backbone):
        found = {name: tuple(value.shape) for name, value in backbone.state_dict().items()}
        expected = {name: shape for name, shape in published_shapes().items() if not name.startswith("fc.")}
        strange = sorted(found.keys() - expected.keys())
        assert not strange, f"the state_dict has {len(strange)} names that torchvision's has not, such as {strange[:3]}"
        for name, shape in expected.items():
            assert found.get(name) == shape, f"{name} should have the shape {shape}; yours has {found.get(name)}"

    def save(self, content, path):
        import torch

        tensors = {name: torch.tensor(value) for name, value in content.items()} if isinstance(content, dict) else None
        torch.save(tensors or content, path)

    def publish(self, fw, rng, folder, images, monkeypatch):
        """A file of weights, and their features of the images."""
        weights, path = published_weights(rng), folder / "resnet18.pth"
        self.save(weights, path)
        return path, forward_by_hand(weights, images.astype("float64"))

    def prepared(self, images):
        return (images - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)

    def small_backbone(self):
        from torch import nn

        layers = []
        for channels, out, stride in SIZES:
            layers += [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten())  # nested, as a ResNet is


class ResNet50:
    """That of keras.applications, which reads its file."""

    def check(self, fw, backbone):
        number = backbone.count_params()
        assert number == 23_587_712, f"ResNet50 without its top has 23587712 parameters; yours has {number}"
        assert backbone.get_layer("conv5_block3_out"), "the layers should have Keras's names"

    def save(self, content, path):
        pytest.skip("in TensorFlow Keras reads the file, and says what is wrong with it")

    def publish(self, fw, rng, folder, images, monkeypatch):
        import keras

        path = folder / "notop.weights.h5"
        official = keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")
        for layer in official.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.moving_variance.assign(rng.uniform(1, 2, layer.moving_variance.shape))
                layer.beta.assign(rng.uniform(-0.1, 0.1, layer.beta.shape))
        official.save_weights(path)
        load = keras.Model.load_weights

        def strict_load(self, path, skip_mismatch=False, **options):
            assert not skip_mismatch, "Keras is told to skip what does not fit: another file would go unnoticed"
            return load(self, path, **options)

        monkeypatch.setattr(keras.Model, "load_weights", strict_load)
        return path, fw.numpy(fw.call(official, fw.images(images)))

    def prepared(self, images):
        return 255 * images[..., ::-1] - (103.939, 116.779, 123.68)

    def small_backbone(self):
        from keras import Input, Sequential, layers

        stack = [Input((12, 12, 1))]
        for _, out, stride in SIZES:
            convolution = layers.Conv2D(out, 3, stride, "same", use_bias=False)
            stack += [convolution, layers.BatchNormalization(momentum=0.9), layers.ReLU()]
        return Sequential([*stack, layers.GlobalAveragePooling2D()])


OFFICIAL = {"torch": ResNet18(), "tensorflow": ResNet50()}
