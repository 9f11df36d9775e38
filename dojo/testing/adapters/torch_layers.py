"""PyTorch's standard layers: where each keeps its weights, and in which order of axes."""

from typing import Any

import numpy as np
import torch
from torch import nn

from dojo.compat import is_batch_norm
from dojo.testing.adapters.layers import Layers, Weight

_KNOWN = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.Embedding,
)


class TorchLayers(Layers):
    def _layout(self, layer: nn.Module) -> dict[str, Weight]:
        return _layout(layer)

    def layers(self, model: nn.Module) -> list[nn.Module]:
        return [module for module in model.modules() if isinstance(module, _KNOWN) or is_batch_norm(module)]

    def layer_epsilon(self, layer: nn.Module) -> float:
        return layer.eps

    def parameters(self, model: nn.Module) -> dict[str, torch.Tensor]:
        return {name: p for name, p in model.named_parameters() if p.requires_grad}

    def variables(self, model: nn.Module) -> dict[str, torch.Tensor]:
        return {name: t for name, t in model.state_dict(keep_vars=True).items() if isinstance(t, torch.Tensor)}

    @torch.no_grad()
    def _assign(self, parameter: torch.Tensor, value: Any) -> None:
        parameter.copy_(value if self.is_tensor(value) else self.array(value, self.dtype_name(parameter)))


def _layout(layer: nn.Module) -> dict[str, Weight]:
    if isinstance(layer, nn.Linear):
        return _plain(kernel=(layer.weight, (1, 0)), bias=(layer.bias, (0,)))
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        order = (2, 1, 0) if isinstance(layer, nn.Conv1d) else (2, 3, 1, 0)
        return _plain(kernel=(layer.weight, order), bias=(layer.bias, (0,)))
    if isinstance(layer, nn.ConvTranspose2d):  # keras keeps (kh, kw, out, in) here, and so does the common layout
        return _plain(kernel=(layer.weight, (2, 3, 1, 0)), bias=(layer.bias, (0,)))
    if isinstance(layer, nn.RNNCellBase):
        return _recurrent(layer, layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh)
    if isinstance(layer, nn.RNNBase):
        if layer.num_layers > 1 or layer.bidirectional:
            raise TypeError("weights() reads recurrent layers of one direction and one layer")
        biases = (layer.bias_ih_l0, layer.bias_hh_l0) if layer.bias else (None, None)
        return _recurrent(layer, layer.weight_ih_l0, layer.weight_hh_l0, *biases)
    if is_batch_norm(layer):
        statistics = {"mean": (layer.running_mean, (0,)), "variance": (layer.running_var, (0,))}
        return _plain(scale=(layer.weight, (0,)), shift=(layer.bias, (0,)), **statistics)
    if isinstance(layer, nn.LayerNorm):
        order = tuple(range(len(layer.normalized_shape)))
        return _plain(scale=(layer.weight, order), shift=(layer.bias, order))
    if isinstance(layer, nn.GroupNorm):
        return _plain(scale=(layer.weight, (0,)), shift=(layer.bias, (0,)))
    if isinstance(layer, nn.Embedding):
        return _plain(table=(layer.weight, (0, 1)))
    raise TypeError(f"weights() does not know the layer {type(layer).__name__}")


def _plain(**entries: tuple[torch.Tensor | None, tuple[int, ...]]) -> dict[str, Weight]:
    """Tensors whose axes are only ordered otherwise: array axis i is tensor axis order[i]."""

    def weight(tensor, order):
        back = np.argsort(order)
        return Weight(tensor, lambda x: x.transpose(order), lambda x, before: x.transpose(back))

    return {name: weight(tensor, order) for name, (tensor, order) in entries.items() if tensor is not None}


def _recurrent(layer, w_ih, w_hh, b_ih, b_hh) -> dict[str, Weight]:
    """PyTorch's gate orders (LSTM: i, f, g, o; GRU: r, z, n) are the common ones; its two biases are added."""
    layout = _plain(kernel=(w_ih, (1, 0)), recurrent=(w_hh, (1, 0)))
    if b_ih is None:
        return layout
    if isinstance(layer, nn.GRU | nn.GRUCell):
        return layout | _plain(bias=(b_ih, (0,)), recurrent_bias=(b_hh, (0,)))
    return layout | {"bias": Weight(b_ih, added=(b_hh,))}
