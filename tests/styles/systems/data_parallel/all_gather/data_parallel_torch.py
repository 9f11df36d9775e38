"""Every worker gathers what all of them have, and adds up the parts itself: no all-reduce at all."""

import contextlib
from datetime import timedelta
from itertools import islice

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.func import functional_call, grad_and_value
from torch.optim import Optimizer


def shard(count: int, rank: int, workers: int, epoch: int = 0, seed: int = 0) -> Tensor:
    if rank >= workers or rank < 0:
        raise ValueError(f"rank {rank} of {workers}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(hash((seed, epoch)) % 2**31)
        keys = torch.rand(count)
    return torch.tensor(keys.argsort().tolist()[rank::workers], dtype=torch.long)


def join(rank: int, addresses: list[str], timeout: float) -> ProcessGroup:
    host, port = addresses[0].split(":")
    limit = timedelta(seconds=timeout)
    store = dist.TCPStore(host, int(port), len(addresses), is_master=rank == 0, timeout=limit)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=len(addresses), timeout=limit)
    return dist.group.WORLD


@contextlib.contextmanager
def _collective():
    try:
        yield
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error


def broadcast(group: ProcessGroup, model: nn.Module) -> None:
    for tensor in model.state_dict().values():
        copies = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
        dist.all_gather(copies, tensor.contiguous(), group=group)
        with torch.no_grad():
            tensor.copy_(copies[0])


def joined_gradients(
    group: ProcessGroup, model: nn.Module, features: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    def total_loss(parameters):
        log_p = functional_call(model, parameters, (features,)).log_softmax(dim=1)
        return -log_p[torch.arange(len(labels)), labels].sum()

    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    gradients, loss = grad_and_value(total_loss)(parameters)
    own = torch.cat([*(gradients[name].ravel() for name in parameters), loss[None], loss.new_full((1,), len(labels))])
    everybody = own.new_empty(dist.get_world_size(group), len(own))
    with _collective():
        dist.all_gather_into_tensor(everybody.view(-1), own, group=group)
    total = everybody.sum(dim=0)
    mean = total / total[-1]
    parts = mean[:-2].split([tensor.numel() for tensor in parameters.values()])
    return mean[-2], [part.reshape(tensor.shape) for part, tensor in zip(parts, parameters.values(), strict=True)]


def train_step(group: ProcessGroup, model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor) -> float:
    def closure():
        loss, gradients = joined_gradients(group, model, features, labels)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient.clone()
        return loss

    return optimizer.step(closure).item()


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
    count, workers = len(features), dist.get_world_size(group)
    mine = iter(shard(count, dist.get_rank(group), workers, epoch, seed).tolist())
    left, total = count, 0.0
    while left > 0:
        chosen = torch.tensor(list(islice(mine, batch)), dtype=torch.long)
        joined = min(left, batch * workers)
        total += joined * train_step(group, model, optimizer, features[chosen], labels[chosen])
        left -= joined
    return total / count
