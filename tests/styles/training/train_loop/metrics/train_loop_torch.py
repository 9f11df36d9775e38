"""The loop with a meter that is told each batch, gradients switched off by inference_mode, and clones of the state."""

import math

import torch
from tqdm.auto import trange


class Meter:
    """A running mean over samples."""

    def __init__(self):
        self.mean, self.samples = 0.0, 0

    def add(self, value, samples):
        self.samples += samples
        self.mean += (value.item() - self.mean) * samples / self.samples

    def read(self):
        if self.samples == 0:
            raise ValueError("no samples: the batches are empty")
        return self.mean


def evaluate(model, loss_function, batches):
    model.train(False)
    meter = Meter()
    with torch.inference_mode():
        for inputs, targets in batches:
            meter.add(loss_function(model(inputs), targets), inputs.shape[0])
    return meter.read()


def train(model, loss_function, optimizer, train_batches, val_batches, epochs, progress=False):
    if epochs <= 0:
        raise ValueError("train for at least one epoch")
    train_losses, val_losses, snapshot, best_epoch = [], [], {}, None
    with trange(epochs, disable=not progress) as bar:
        for epoch in bar:
            model.train(True)
            meter = Meter()
            for inputs, targets in train_batches:
                loss = loss_function(model(inputs), targets)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                meter.add(loss, inputs.shape[0])
            train_losses.append(meter.read())
            val_losses.append(evaluate(model, loss_function, val_batches))
            bar.set_postfix_str(f"train_loss={train_losses[-1]:.4f}, val_loss={val_losses[-1]:.4f}")
            finite = math.isfinite(val_losses[-1])
            if finite and (best_epoch is None or val_losses[-1] < val_losses[best_epoch]):
                best_epoch = epoch
                snapshot = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    if snapshot:
        model.load_state_dict(snapshot)
    return {"train_loss": train_losses, "val_loss": val_losses, "best_epoch": best_epoch}
