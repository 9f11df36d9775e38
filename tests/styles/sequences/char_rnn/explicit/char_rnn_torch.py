"""Another right way: a cell in a loop over time, the log-likelihood gathered by hand, samples by the Gumbel maximum."""

import math
from itertools import chain, cycle, islice

import torch
from torch import Tensor, nn


class Vocabulary:
    def __init__(self, text: str):
        self.characters = "".join(sorted(set(text)))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        return torch.LongTensor([self.characters.index(c) for c in text])  # str.index raises ValueError by itself

    def decode(self, ids: Tensor) -> str:
        return "".join(map(self.characters.__getitem__, ids))


def one_hot(ids: Tensor, size: int) -> Tensor:
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < size:
        raise ValueError("an id is out of range")
    rows = torch.zeros(*ids.shape, size, device=ids.device)
    return rows.scatter_(-1, ids.long().unsqueeze(-1), 1.0)


def windows(ids: Tensor, batch: int, steps: int) -> tuple[Tensor, Tensor]:
    count = (ids.numel() - 1) // (batch * steps)
    if count <= 0:
        raise ValueError("the text is too short")
    length = count * steps
    streams = torch.stack([ids[row * length : (row + 1) * length + 1] for row in range(batch)])
    inputs, targets = streams[:, :-1], streams[:, 1:]
    return torch.stack(inputs.split(steps, dim=1)), torch.stack(targets.split(steps, dim=1))


class CharRNN(nn.Module):
    def __init__(self, size: int, units: int):
        super().__init__()
        self.size = size
        self.recurrent = nn.RNNCell(size, units)
        self.readout = nn.Linear(units, size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits = []
        for t in range(x.shape[1]):
            state = self.recurrent(x[:, t], state)
            logits.append(self.readout(state))
        return torch.stack(logits, dim=1), state


def surprise(model: CharRNN, inputs: Tensor, targets: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    logits, state = model(one_hot(inputs, model.size), state)
    chosen = logits.gather(-1, targets.long().unsqueeze(-1)).squeeze(-1)
    return (logits.logsumexp(dim=-1) - chosen).mean(), state


def train(
    model: CharRNN, ids: Tensor, updates: int, batch: int = 64, steps: int = 16, learning_rate: float = 0.01
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    pairs = list(zip(*windows(ids, batch, steps), strict=True))
    first = chain([True], [False] * (len(pairs) - 1))
    losses = []
    for (inputs, targets), begins in islice(cycle(zip(pairs, first, strict=True)), updates):
        state = None if begins else state.detach_()  # noqa: F821 - the first window begins the text
        loss, state = surprise(model, inputs, targets, state)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def perplexity(model: CharRNN, ids: Tensor) -> float:
    with torch.inference_mode():
        return math.exp(surprise(model, ids[:-1].unsqueeze(0), ids[1:].unsqueeze(0))[0])


def predict(model: CharRNN, vocabulary: Vocabulary, prompt: str) -> Tensor:
    if not prompt:
        raise ValueError("an empty prompt")
    with torch.inference_mode():
        return model(one_hot(vocabulary.encode(prompt), len(vocabulary)).unsqueeze(0))[0][0, -1].softmax(-1)


def sample(model: CharRNN, vocabulary: Vocabulary, prompt: str, length: int, temperature: float = 1.0) -> str:
    if not prompt or temperature < 0:
        raise ValueError("an empty prompt or a negative temperature")
    state, text, pending = None, [], prompt
    with torch.inference_mode():
        while len(text) < length:
            logits, state = model(one_hot(vocabulary.encode(pending), len(vocabulary)).unsqueeze(0), state)
            gumbel = -torch.log(-torch.log(torch.rand(len(vocabulary)).clamp(1e-20, 1 - 1e-7)))
            pending = vocabulary.characters[int((logits[0, -1] + temperature * gumbel).argmax())]
            text.append(pending)
    return "".join(text)
