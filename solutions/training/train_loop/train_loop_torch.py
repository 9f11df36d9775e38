"""A training loop with validation, in PyTorch.

The loss of a batch is a mean already, so it counts as often as the batch has samples; the last batch is usually
smaller. Each half of an epoch sets the mode that it needs. The trap is state_dict: it hands out the very tensors that
training goes on changing, so the best weights must be copied when they are put aside.
"""

import copy
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

Batches = Iterable[tuple[Tensor, Tensor]]  # (inputs, targets), the samples along the first axis of both


@torch.no_grad()
def evaluate(model: nn.Module, loss_function: Callable[[Tensor, Tensor], Tensor], batches: Batches) -> float:
    model.eval()
    return _mean((loss_function(model(inputs), targets), len(targets)) for inputs, targets in batches)


def train(
    model: nn.Module,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
    train_batches: Batches,
    val_batches: Batches,
    epochs: int,
    progress: bool = False,
) -> dict:
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}: at least one is needed")

    def update(inputs: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = loss_function(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    history, lowest, best = {"train_loss": [], "val_loss": [], "best_epoch": None}, math.inf, None
    bar = tqdm(range(epochs), disable=not progress)
    for epoch in bar:
        model.train()
        train_loss = _mean((update(inputs, targets), len(targets)) for inputs, targets in train_batches)
        val_loss = evaluate(model, loss_function, val_batches)
        history["train_loss"].append(train_loss)
        history["val_loss"].append(val_loss)
        if val_loss < lowest:
            lowest, best, history["best_epoch"] = val_loss, copy.deepcopy(model.state_dict()), epoch
        bar.set_postfix(train_loss=train_loss, val_loss=val_loss)
    if best is not None:
        model.load_state_dict(best)
    return history


def _mean(parts: Iterable[tuple[Tensor, int]]) -> float:
    """The mean over all samples, from the mean of each batch and its size."""
    total, count = 0.0, 0
    for loss, size in parts:
        total += loss.item() * size
        count += size
    if not count:
        raise ValueError("there is no batch")
    return total / count
