"""All that dojo knows about PyTorch."""

import random
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dojo.testing.adapters.base import CheckFailed, FrameworkAdapter, LayerWeights

# Views and other bookkeeping: they compute nothing.
_FREE = {"aten::detach", "aten::alias", "aten::view", "aten::_unsafe_view"}


class Adapter(FrameworkAdapter):
    name = "torch"
    tensor_name = "torch.Tensor"

    def _tensor(self, x: np.ndarray, dtype: str) -> torch.Tensor:
        return torch.tensor(np.ascontiguousarray(x).reshape(x.shape), dtype=getattr(torch, dtype), device=self.device)

    def numpy(self, t: Any) -> np.ndarray:
        t = t.detach().cpu()
        return np.array(t.float() if t.dtype == torch.bfloat16 else t)

    def images(self, x: np.ndarray) -> torch.Tensor:
        return self.array(np.moveaxis(x, -1, -3))

    def images_numpy(self, t: torch.Tensor) -> np.ndarray:
        return np.moveaxis(self.numpy(t), -3, -1)

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor)

    def dtype_name(self, t: torch.Tensor) -> str:
        return str(t.dtype).removeprefix("torch.")

    def _gradients(self, f: Callable, arrays: list, cotangent: np.ndarray) -> list:
        tensors = [self._tensor(x, x.dtype.name) for x in arrays]
        leaves = [t.requires_grad_() for t in tensors if t.is_floating_point()]
        result = f(*tensors)
        self.check_shape(result, cotangent.shape)
        if not result.requires_grad:
            return [None] * len(tensors)
        if result.dtype != torch.float64:
            raise CheckFailed(f"result: float64 inputs gave {self.dtype_name(result)}. Keep the dtype of the inputs.")
        total = (result * self._tensor(cotangent, "float64")).sum()
        found = dict(zip(map(id, leaves), torch.autograd.grad(total, leaves, allow_unused=True), strict=True))
        return [None if found.get(id(t)) is None else self.numpy(found[id(t)]) for t in tensors]

    def weights(self, layer: nn.Module) -> LayerWeights:
        return LayerWeights(layer, {name: read(self) for name, (read, _) in _layout(layer).items()})

    def set_weights(self, layer: nn.Module, weights: dict[str, np.ndarray]) -> None:
        layout = LayerWeights(layer, _layout(layer))
        with torch.no_grad():
            for name, value in weights.items():
                layout[name][1](self, np.asarray(value))

    def call(self, layer: nn.Module, *x: Any, training: bool = False) -> Any:
        return layer.train(training)(*x)

    def parameters(self, model: nn.Module) -> dict[str, torch.Tensor]:
        return {name: p for name, p in model.named_parameters() if p.requires_grad}

    def seed(self, n: int) -> None:
        random.seed(n)
        np.random.seed(n)
        torch.manual_seed(n)

    def count_ops(self, f: Callable, *args: Any) -> int:
        with _Counter() as counter:
            f(*args)
        return counter.count

    def peak_bytes(self, f: Callable, *args: Any) -> int:
        with _Meter() as meter:
            f(*args)
        return meter.peak

    def on_accelerator(self) -> "Adapter | None":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        if torch.cuda.is_available():
            return Adapter("cuda")
        return Adapter("mps") if torch.backends.mps.is_available() else None


class _Watch(TorchDispatchMode):
    """Sees every operation. Without this answer, its first one imports all of torch._dynamo, a second's work."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _Counter(_Watch):
    """Counts the operations that reach the dispatcher."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func._schema.name not in _FREE
        return func(*args, **(kwargs or {}))


class _Meter(_Watch):
    """Follows the bytes of the storages that operations make, until each is freed."""

    def __init__(self):
        super().__init__()
        self.alive, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {_storage(t) for t in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for t in torch.utils._pytree.tree_leaves(result):
            if isinstance(t, torch.Tensor) and _storage(t) not in known | self.alive.keys():
                self._follow(t.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = storage.data_ptr(), storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        self.alive[key] = weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self.alive.pop(key, None)
        self.now -= size


def _storage(t: torch.Tensor) -> int:
    return t.untyped_storage().data_ptr()


def _layout(layer: nn.Module) -> dict[str, tuple[Callable, Callable]]:
    """Name in the common layout to (read, write)."""
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
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        statistics = {"mean": (layer.running_mean, (0,)), "variance": (layer.running_var, (0,))}
        return _plain(scale=(layer.weight, (0,)), shift=(layer.bias, (0,)), **statistics)
    if isinstance(layer, nn.LayerNorm):
        order = tuple(range(layer.weight.ndim))
        return _plain(scale=(layer.weight, order), shift=(layer.bias, order))
    if isinstance(layer, nn.GroupNorm):
        return _plain(scale=(layer.weight, (0,)), shift=(layer.bias, (0,)))
    if isinstance(layer, nn.Embedding):
        return _plain(table=(layer.weight, (0, 1)))
    raise TypeError(f"weights() does not know the layer {type(layer).__name__}")


def _plain(**entries: tuple[torch.Tensor | None, tuple[int, ...]]) -> dict[str, tuple[Callable, Callable]]:
    """Tensors whose axes are only ordered otherwise: array axis i is tensor axis order[i]."""

    def pair(tensor, order):
        def read(fw):
            return fw.numpy(tensor).transpose(order)

        def write(fw, value):
            tensor.copy_(fw.array(value.transpose(np.argsort(order)), fw.dtype_name(tensor)))

        return read, write

    return {name: pair(tensor, order) for name, (tensor, order) in entries.items() if tensor is not None}


def _recurrent(layer, w_ih, w_hh, b_ih, b_hh) -> dict[str, tuple[Callable, Callable]]:
    """PyTorch's gate orders (LSTM: i, f, g, o; GRU: r, z, n) are the common ones; its two biases are added."""
    layout = _plain(kernel=(w_ih, (1, 0)), recurrent=(w_hh, (1, 0)))
    if b_ih is None:
        return layout
    if isinstance(layer, nn.GRU | nn.GRUCell):
        return layout | _plain(bias=(b_ih, (0,)), recurrent_bias=(b_hh, (0,)))

    def read(fw):
        return fw.numpy(b_ih) + fw.numpy(b_hh)

    def write(fw, value):
        b_ih.copy_(fw.array(value, fw.dtype_name(b_ih)))
        b_hh.zero_()

    return layout | {"bias": (read, write)}
