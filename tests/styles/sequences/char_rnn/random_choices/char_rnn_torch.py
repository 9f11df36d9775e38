"""Another right way: time before batch inside, rows of the identity, samples by Python's own random numbers."""

import random
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn


class Vocabulary(dict):
    """Character to id."""

    def __init__(self, text: str):
        super().__init__((character, number) for number, character in enumerate(sorted({*text})))
        self.characters = "".join(self)

    def encode(self, text: str) -> Tensor:
        try:
            return torch.tensor([self[character] for character in text]).int()
        except KeyError as error:
            raise ValueError(f"never seen: {error}") from None

    def decode(self, ids: Tensor) -> str:
        return "".join([self.characters[int(number)] for number in ids])


def one_hot(ids: Tensor, size: int) -> Tensor:
    if torch.any(ids.lt(0)) or torch.any(ids.ge(size)):
        raise ValueError("out of range")
    return torch.eye(size, device=ids.device)[ids.long()]


def windows(ids: Tensor, batch: int, steps: int) -> tuple[Tensor, Tensor]:
    length = (len(ids) - 1) // batch // steps * steps
    if length < steps:
        raise ValueError("too short")
    places = (torch.arange(batch)[None, :, None] * length + torch.arange(0, length, steps)[:, None, None]).to(
        ids.device
    )
    places = places + torch.arange(steps, device=ids.device)
    return ids[places], ids[places + 1]


class CharRNN(nn.Module):
    def __init__(self, size: int, units: int):
        super().__init__()
        self.recurrent = nn.RNN(size, units)
        self.readout = nn.Linear(units, size)
        nn.init.orthogonal_(self.recurrent.weight_hh_l0)
        self.encode = partial(one_hot, size=size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if state is None:
            state = x.new_zeros(1, x.shape[0], self.recurrent.hidden_size)
        hidden, state = self.recurrent(x.transpose(0, 1), state)
        return self.readout(hidden).transpose(0, 1), state


def train(
    model: CharRNN, ids: Tensor, updates: int, batch: int = 64, steps: int = 16, learning_rate: float = 0.01
) -> list[float]:
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(params=model.parameters(), lr=learning_rate)
    inputs, targets = windows(ids, batch, steps)
    losses = []
    while len(losses) < updates:
        state = None
        for x, y in zip(inputs, targets, strict=True):
            if len(losses) == updates:
                break
            logits, state = model(model.encode(x), state)
            state = state.data
            loss = criterion(logits.transpose(1, 2), y.long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def perplexity(model: CharRNN, ids: Tensor) -> float:
    total, state = 0.0, None
    with torch.no_grad():
        for x, y in pairwise(ids):
            logits, state = model(model.encode(x.view(1, 1)), state)
            total -= torch.log_softmax(logits.flatten(), 0)[int(y)].item()
    return float(torch.tensor(total / (len(ids) - 1), dtype=torch.float64).exp())


def advance(model: CharRNN, vocabulary: Vocabulary, text: str, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        logits, state = model(model.encode(vocabulary.encode(text)[None]), state)
    return logits[0, -1], state


def predict(model: CharRNN, vocabulary: Vocabulary, prompt: str) -> Tensor:
    if prompt == "":
        raise ValueError("what should be gone on from?")
    return nn.functional.softmax(advance(model, vocabulary, prompt)[0], dim=0)


def sample(model: CharRNN, vocabulary: Vocabulary, prompt: str, length: int, temperature: float = 1.0) -> str:
    if prompt == "":
        raise ValueError("what should be gone on from?")
    if temperature < 0:
        raise ValueError("a negative temperature")
    logits, state = advance(model, vocabulary, prompt)
    text = prompt
    for _ in range(length):
        if temperature:
            weights = ((logits - logits.max()) / temperature).exp().tolist()
            text += random.choices(vocabulary.characters, weights)[0]
        else:
            text += vocabulary.characters[logits.argmax()]
        logits, state = advance(model, vocabulary, text[-1], state)
    return text[len(prompt) :]
