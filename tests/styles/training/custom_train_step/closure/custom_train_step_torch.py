"""The forward and backward pass as a closure for the optimizer; the figures as a list of small tensors, one a batch."""

import torch


class TrainStep:
    def __init__(self, model, loss_function, optimizer):
        self._model, self._loss_function, self._optimizer = model, loss_function, optimizer
        self._batches = []

    def __call__(self, inputs, targets):
        if inputs.size(0) != targets.size(0):
            raise ValueError(f"{inputs.size(0)} samples with {targets.size(0)} targets")
        self._model.train()
        kept = {}

        def closure():
            self._model.zero_grad()
            kept["outputs"] = self._model(inputs)
            loss = self._loss_function(kept["outputs"], targets)
            loss.backward()
            return loss

        loss = self._optimizer.step(closure).detach()
        right = torch.sum(kept["outputs"].detach().argmax(1) == targets)
        self._batches.append((loss, right, inputs.size(0)))
        return loss

    def results(self):
        if not self._batches:
            raise ValueError("no batch yet")
        losses, right, sizes = zip(*self._batches, strict=True)
        total = sum(sizes)
        loss = sum(loss.item() * size for loss, size in zip(losses, sizes, strict=True)) / total
        return {"loss": loss, "accuracy": sum(count.item() for count in right) / total}

    def reset(self):
        self._batches = []
