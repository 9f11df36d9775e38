"""The loop as a small class; the best weights go through a buffer in torch's own file format."""

import io
from contextlib import nullcontext

import torch
from tqdm import tqdm


class Trainer:
    def __init__(self, model, loss_function, optimizer=None):
        self.model, self.loss_function, self.optimizer = model, loss_function, optimizer

    def run(self, batches, learning):
        """One pass over the batches; the mean loss over their samples."""
        self.model.train(learning)
        losses, sizes = [], []
        with nullcontext() if learning else torch.no_grad():
            for inputs, targets in batches:
                loss = self.loss_function(self.model(inputs), targets)
                if learning:
                    self.model.zero_grad()
                    loss.backward()
                    self.optimizer.step()
                losses.append(loss.detach().double())
                sizes.append(len(inputs))
        if not losses:
            raise ValueError("there are no batches")
        sizes = torch.tensor(sizes, dtype=torch.float64, device=losses[0].device)
        return float(torch.stack(losses) @ sizes / sizes.sum())

    def saved(self):
        file = io.BytesIO()
        torch.save(self.model.state_dict(), file)
        return file.getvalue()

    def restore(self, content):
        self.model.load_state_dict(torch.load(io.BytesIO(content)))


def evaluate(model, loss_function, batches):
    return Trainer(model, loss_function).run(batches, learning=False)


def train(model, loss_function, optimizer, train_batches, val_batches, epochs, progress=False):
    if not epochs >= 1:
        raise ValueError("epochs must be positive")
    trainer = Trainer(model, loss_function, optimizer)
    rows, best = [], (float("inf"), None, None)
    bar = tqdm(total=epochs, disable=not progress)
    for epoch in range(epochs):
        rows.append((trainer.run(train_batches, learning=True), trainer.run(val_batches, learning=False)))
        if rows[-1][1] < best[0]:
            best = rows[-1][1], epoch, trainer.saved()
        bar.set_postfix(train_loss=rows[-1][0], val_loss=rows[-1][1], refresh=False)
        bar.update()
    bar.close()
    if best[1] is not None:
        trainer.restore(best[2])
    train_loss, val_loss = zip(*rows, strict=True)
    return {"train_loss": list(train_loss), "val_loss": list(val_loss), "best_epoch": best[1]}
