"""A training step of one's own, in PyTorch.

Five lines in the one order that is right: zero, forward, loss, backward, step. The sums for the figures are detached
and stay tensors: with its graph the sum would keep every batch alive, and as a float it would make the processor wait
for the device at every batch. Loss and accuracy come from the outputs that the update used; nothing is run twice.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.optim import Optimizer


class TrainStep:
    def __init__(self, model: nn.Module, loss_function: Callable[[Tensor, Tensor], Tensor], optimizer: Optimizer):
        self.model, self.loss_function, self.optimizer = model, loss_function, optimizer
        self.reset()

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        if len(inputs) != len(targets):
            raise ValueError(f"{len(inputs)} inputs, but {len(targets)} targets")
        self.model.train()
        self.optimizer.zero_grad()
        outputs = self.model(inputs)
        loss = self.loss_function(outputs, targets)
        loss.backward()
        self.optimizer.step()

        loss = loss.detach()
        self._loss += loss * len(targets)
        self._right += (outputs.argmax(dim=-1) == targets).sum()
        self._count += len(targets)
        return loss

    def results(self) -> dict[str, float]:
        if not self._count:
            raise ValueError("no batch since the last reset")
        return {"loss": float(self._loss) / self._count, "accuracy": float(self._right) / self._count}

    def reset(self) -> None:
        self._loss = self._right = self._count = 0
