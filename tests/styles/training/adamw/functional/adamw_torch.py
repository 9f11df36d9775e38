"""AdamW as a pure function from old values to new ones; the optimiser only fetches and stores."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer


class Memory(NamedTuple):
    step: Tensor
    mean: Tensor
    square: Tensor
    largest: Tensor


def updated(theta: Tensor, gradient: Tensor, old: Memory, options: dict) -> tuple[Tensor, Memory]:
    beta1, beta2 = options["betas"]
    step = old.step + 1
    mean = beta1 * old.mean + (1 - beta1) * gradient
    square = beta2 * old.square + (1 - beta2) * gradient.square()
    largest = torch.maximum(old.largest, square)
    chosen = largest if options["amsgrad"] else square
    first = (1 / (1 - beta1**step)).to(theta.dtype)
    second = (1 / (1 - beta2**step)).to(theta.dtype)
    direction = first * mean / ((second * chosen).sqrt() + options["eps"])
    theta = theta - options["lr"] * (direction + options["weight_decay"] * theta)
    return theta, Memory(step, mean, square, largest)


class AdamW(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False):
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if not value >= 0:
                raise ValueError(f"{name} is {value}; it must be at least 0")
        if any(not 0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas are {betas}; both must be at least 0 and less than 1")
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, defaults)

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.set_grad_enabled(True):
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for theta in (p for p in group["params"] if p.grad is not None):
                    if theta.grad.is_sparse:
                        raise RuntimeError("sparse gradients are not supported")
                    new, memory = updated(theta, theta.grad, self._memory(theta), group)
                    theta.copy_(new)
                    self.state[theta].update(memory._asdict())
        return loss

    def _memory(self, theta: Tensor) -> Memory:
        if self.state[theta]:
            return Memory(**self.state[theta])
        zeros = torch.zeros_like(theta)
        return Memory(torch.zeros((), dtype=torch.float64, device=theta.device), zeros, zeros, zeros)
