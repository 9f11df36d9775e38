"""Data-parallel training, in PyTorch, over torch.distributed with the gloo backend.

Every worker sums the loss over its own samples; one all-reduce adds up the gradients of those sums, the losses and the
sample counts; one division makes means of them. That is exact for any split. The trap is to average the workers' means:
it weighs a sample more the fewer its worker has, and a worker without samples has no mean at all. Such a worker must
still take part in every all-reduce, or the others wait for it.
"""

import datetime
import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.optim import Optimizer


def shard(count: int, rank: int, workers: int, epoch: int = 0, seed: int = 0) -> Tensor:
    if not 0 <= rank < workers:
        raise ValueError(f"there is no worker {rank} among {workers}")
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    return torch.randperm(count, generator=generator)[rank::workers]


def join(rank: int, addresses: list[str], timeout: float) -> ProcessGroup:
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://{addresses[0]}",
        rank=rank,
        world_size=len(addresses),
        timeout=datetime.timedelta(seconds=timeout),
    )
    return dist.group.WORLD


def broadcast(group: ProcessGroup, model: nn.Module) -> None:
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor, src=0, group=group)


def joined_gradients(
    group: ProcessGroup, model: nn.Module, features: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    loss = F.cross_entropy(model(features), labels, reduction="sum")
    gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
    *sums, loss, count = _add_up(group, [*gradients, loss.detach(), loss.new_tensor(len(labels))])
    return loss / count, [gradient / count for gradient in sums]


def _add_up(group: ProcessGroup, tensors: list[Tensor]) -> list[Tensor]:
    """The sum over all workers of each tensor, with one all-reduce for all of them."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    try:
        dist.all_reduce(flat, group=group)
    except RuntimeError as error:
        raise ConnectionError(f"a worker is lost: {error}") from error
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def train_step(group: ProcessGroup, model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor) -> float:
    loss, gradients = joined_gradients(group, model, features, labels)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss.item()


def train_epoch(
    group: ProcessGroup,
    model: nn.Module,
    optimizer: Optimizer,
    features: Tensor,
    labels: Tensor,
    batch: int,
    epoch: int = 0,
    seed: int = 0,
) -> float:
    count, workers = len(labels), dist.get_world_size(group)
    mine = shard(count, dist.get_rank(group), workers, epoch, seed)
    total = 0.0
    for step in range(math.ceil(count / (workers * batch))):
        chosen = mine[step * batch : (step + 1) * batch]
        joined = min(workers * batch, count - step * workers * batch)
        total += joined * train_step(group, model, optimizer, features[chosen], labels[chosen])
    return total / count
