"""All that dojo knows about PyTorch, with torch_layers, torch_models and torch_counting."""

import datetime
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from dojo.testing.adapters.base import FrameworkAdapter
from dojo.testing.adapters.torch_counting import TorchCounting
from dojo.testing.adapters.torch_layers import TorchLayers
from dojo.testing.adapters.torch_models import TorchModels, TorchOptimisers


class Adapter(TorchModels, TorchOptimisers, TorchLayers, TorchCounting, FrameworkAdapter):
    name = "torch"
    tensor_name = "torch.Tensor"
    loads_in_processes = True
    ahead = ("torch._dynamo",)  # the first optimiser imports all of it

    def wake(self) -> None:
        torch.set_grad_enabled(True)  # somebody's code may have left it off

    def seed(self, n: int | None) -> None:
        random.seed(n)
        np.random.seed(n)
        torch.seed() if n is None else torch.manual_seed(n)

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator(device=self.device).manual_seed(seed)

    # ---------------------------------------------------------------- tensors

    def _tensor(self, x: np.ndarray, dtype: str) -> torch.Tensor:
        return torch.tensor(np.ascontiguousarray(x).reshape(x.shape), dtype=getattr(torch, dtype), device=self.device)

    def numpy(self, t: Any) -> np.ndarray:
        t = t.detach().cpu()
        return np.array(t.float() if t.dtype == torch.bfloat16 else t)

    def strided(self, x: Any, dtype: str | None = None) -> torch.Tensor:
        t = self.array(np.asarray(x).T, dtype)
        return t.permute(*reversed(range(t.ndim)))

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor)

    def dtype_name(self, t: torch.Tensor) -> str:
        return str(t.dtype).removeprefix("torch.")

    def own_layout(self, x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, -1, -3) if x.ndim > 2 else x

    def common_layout(self, x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, -3, -1) if x.ndim > 2 else x

    def own_kernel(self, x: np.ndarray) -> np.ndarray:
        return x.transpose(3, 2, 0, 1)

    def common_kernel(self, x: np.ndarray) -> np.ndarray:
        return x.transpose(2, 3, 1, 0)

    def cast(self, t: torch.Tensor, dtype: str) -> torch.Tensor:
        return t.to(getattr(torch, dtype))

    def sum(self, t: torch.Tensor, axis: int | None = None) -> torch.Tensor:
        return t.sum(axis)

    def mean(self, t: torch.Tensor, axis: int | None = None) -> torch.Tensor:
        return t.mean(axis)

    def cross_entropy(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits, labels)

    def spoil(self, t: torch.Tensor) -> None:
        t.detach().zero_()

    # ---------------------------------------------------------------- gradients

    def gradients(self, loss: Callable[[], Any], tensors: Iterable[torch.Tensor]) -> list[np.ndarray | None]:
        tensors = list(tensors)
        plain = [t for t in tensors if not t.requires_grad]
        for t in plain:
            t.requires_grad_()
        try:
            value = loss()
            self.check_shape(value, (), of="loss")
            if not value.requires_grad:
                return [None] * len(tensors)
            found = torch.autograd.grad(value, tensors, allow_unused=True)
        finally:
            for t in plain:
                t.requires_grad_(False)
        return [None if gradient is None else self.numpy(gradient.to_dense()) for gradient in found]

    def records_gradients(self) -> bool:
        return torch.is_grad_enabled()

    def leave_gradients(self, model: nn.Module) -> None:
        for parameter in model.parameters():
            parameter.grad = parameter.detach() + 1

    def held_gradients(self, model: nn.Module) -> dict[str, np.ndarray]:
        return {name: self.numpy(p.grad) for name, p in model.named_parameters() if p.grad is not None}

    # ---------------------------------------------------------------- worker processes

    def process_group(self, rank: int, addresses: list[str], timeout: float) -> dist.ProcessGroup:
        limit, meet = datetime.timedelta(seconds=timeout), f"tcp://{addresses[0]}"
        dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=len(addresses), timeout=limit)
        return dist.group.WORLD

    def place_in_group(self, group: dist.ProcessGroup) -> tuple[int, int]:
        return group.rank(), group.size()

    def collectives(self, f: Callable, *args: Any) -> list[str]:
        return [name for name in self.operations(f, *args) if name.startswith("c10d::")]

    # ---------------------------------------------------------------- devices

    def on_accelerator(self) -> "Adapter | None":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        if torch.cuda.is_available():
            return Adapter("cuda")
        return Adapter("mps") if torch.backends.mps.is_available() else None

    def on_device(self) -> torch.device:
        return torch.device(self.device)

    def to_device(self, x: Any) -> Any:
        return x.to(self.device)
