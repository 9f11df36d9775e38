"""AdamW over whole lists of tensors: one call updates all parameters of a group that stand at the same step."""

from itertools import groupby

import torch
from torch.optim import Optimizer


class AdamW(Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False):
        if lr < 0.0 or eps < 0.0 or weight_decay < 0.0:
            raise ValueError("negative lr, eps or weight_decay")
        beta1, beta2 = betas
        if beta1 < 0.0 or beta1 >= 1.0 or beta2 < 0.0 or beta2 >= 1.0:
            raise ValueError("betas outside [0, 1)")
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        )

    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            ready = [p for p in group["params"] if p.grad is not None]
            if any(p.grad.is_sparse for p in ready):
                raise RuntimeError("AdamW is not made for sparse gradients")
            for p in ready:
                self._prepare(p, group["amsgrad"])
            key = self._steps_of
            for steps, parameters in groupby(sorted(ready, key=key), key=key):
                self._update(list(parameters), steps + 1, group)
        return loss

    def _steps_of(self, p):
        return int(self.state[p]["steps"])

    def _prepare(self, p, amsgrad):
        if p not in self.state:
            self.state[p] = {"steps": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}
            if amsgrad:
                self.state[p]["v_max"] = torch.zeros_like(p)

    @torch.no_grad()
    def _update(self, parameters, steps, group):
        beta1, beta2 = group["betas"]
        states = [self.state[p] for p in parameters]
        gradients = [p.grad for p in parameters]
        means, squares = [s["m"] for s in states], [s["v"] for s in states]
        for state in states:
            state["steps"] = steps
        torch._foreach_mul_(means, beta1)
        torch._foreach_add_(means, gradients, alpha=1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        if group["amsgrad"]:
            largest = [s["v_max"] for s in states]
            torch._foreach_maximum_(largest, squares)
            squares = largest
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - beta2**steps) ** 0.5)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_addcdiv_(parameters, means, roots, -group["lr"] / (1 - beta1**steps))
