"""Every worker scales the mean of its samples by their share of the joined batch; backward fills .grad."""

import os
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim import Optimizer


def shard(count: int, rank: int, workers: int, epoch: int = 0, seed: int = 0) -> Tensor:
    if workers < 1 or rank not in range(workers):
        raise ValueError(f"rank {rank} of {workers}")
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return torch.as_tensor(order.reshape(-1)[rank::workers].copy(), dtype=torch.int64)


def join(rank: int, addresses: list[str], timeout: float) -> ProcessGroup:
    host, port = addresses[0].rsplit(":", 1)
    os.environ.update(MASTER_ADDR=host, MASTER_PORT=port, RANK=str(rank), WORLD_SIZE=str(len(addresses)))
    distributed.init_process_group(backend="gloo", timeout=timedelta(seconds=timeout))
    return distributed.new_group(timeout=timedelta(seconds=timeout))


def broadcast(group: ProcessGroup, model: nn.Module) -> None:
    message = [model.state_dict() if distributed.get_rank(group) == 0 else None]
    distributed.broadcast_object_list(message, src=0, group=group)
    model.load_state_dict(message[0])


def joined_gradients(
    group: ProcessGroup, model: nn.Module, features: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    own = torch.tensor([float(len(labels))], dtype=torch.float64)
    total = _reduced(group, own.clone())
    share = (own / total).to(features.dtype)[0]
    model.zero_grad(set_to_none=True)
    scores = model(features)
    loss = nn.functional.cross_entropy(scores, labels) * share if len(labels) else scores.sum() * 0
    loss.backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    vector = _reduced(group, torch.cat([parameters_to_vector(gradients), loss.detach().reshape(1)]))
    joined = [torch.empty_like(gradient) for gradient in gradients]
    vector_to_parameters(vector[:-1], joined)
    return vector[-1], [tensor.detach() for tensor in joined]


def _reduced(group: ProcessGroup, tensor: Tensor) -> Tensor:
    try:
        work = distributed.all_reduce(tensor, group=group, async_op=True)
        work.wait()
    except RuntimeError as error:
        raise ConnectionError("a worker does not answer") from error
    return tensor


def train_step(group: ProcessGroup, model: nn.Module, optimizer: Optimizer, features: Tensor, labels: Tensor) -> float:
    loss, gradients = joined_gradients(group, model, features, labels)
    optimizer.zero_grad()
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    return float(loss)


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
    rank, workers = group.rank(), group.size()
    shards = [shard(len(labels), other, workers, epoch, seed).split(batch) for other in range(workers)]
    losses, sizes = [], []
    for step in range(len(shards[0])):  # worker 0 never has fewer batches than another
        parts = [own[step] if step < len(own) else own[0][:0] for own in shards]
        losses.append(train_step(group, model, optimizer, features[parts[rank]], labels[parts[rank]]))
        sizes.append(sum(map(len, parts)))
    return float(np.average(losses, weights=sizes))
