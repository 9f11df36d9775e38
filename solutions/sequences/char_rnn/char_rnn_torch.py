"""A character-level language model on a plain RNN, in PyTorch.

At every position the network reads one character and predicts the next, so one window of text is as many examples as
it has characters. Each row of a batch is a stream of its own: window k + 1 goes on where window k ended, which lets
the state be carried from one update to the next. The trap is there: the carried state must be detached, or the
backward pass would run through all windows before. Sampling feeds each drawn character back, with the state.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Vocabulary:
    def __init__(self, text: str):
        self.characters = "".join(sorted(set(text)))
        self._ids = {character: number for number, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        if unknown := set(text) - self._ids.keys():
            raise ValueError(f"not in the vocabulary: {sorted(unknown)}")
        return torch.tensor([self._ids[character] for character in text], dtype=torch.long)

    def decode(self, ids: Tensor) -> str:
        return "".join(self.characters[number] for number in ids.tolist())


def one_hot(ids: Tensor, size: int) -> Tensor:
    if ((ids < 0) | (ids >= size)).any():
        raise ValueError(f"ids must lie between 0 and {size - 1}")
    return F.one_hot(ids.long(), size).float()


def windows(ids: Tensor, batch: int, steps: int) -> tuple[Tensor, Tensor]:
    count = (len(ids) - 1) // (batch * steps)
    if count < 1:
        raise ValueError(f"{len(ids)} characters are too few for {batch} rows of {steps} steps")
    used = count * batch * steps
    inputs, targets = (part.view(batch, count, steps).transpose(0, 1) for part in (ids[:used], ids[1 : used + 1]))
    return inputs, targets


class CharRNN(nn.Module):
    def __init__(self, size: int, units: int):
        super().__init__()
        self.recurrent = nn.RNN(size, units, batch_first=True)
        self.readout = nn.Linear(units, size)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        hidden, state = self.recurrent(x, state)
        return self.readout(hidden), state


def train(
    model: CharRNN, ids: Tensor, updates: int, batch: int = 64, steps: int = 16, learning_rate: float = 0.01
) -> list[float]:
    size = model.readout.out_features
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    inputs, targets = windows(ids, batch, steps)
    losses, state = [], None
    for update in range(updates):
        window = update % len(inputs)
        state = None if window == 0 else state.detach()
        logits, state = model(one_hot(inputs[window], size), state)
        loss = F.cross_entropy(logits.flatten(0, 1), targets[window].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def perplexity(model: CharRNN, ids: Tensor) -> float:
    logits, _ = model(one_hot(ids[None, :-1], model.readout.out_features))
    return F.cross_entropy(logits[0], ids[1:]).exp().item()


def predict(model: CharRNN, vocabulary: Vocabulary, prompt: str) -> Tensor:
    return torch.softmax(_read(model, vocabulary, prompt)[0], dim=-1)


def sample(model: CharRNN, vocabulary: Vocabulary, prompt: str, length: int, temperature: float = 1.0) -> str:
    if temperature < 0:
        raise ValueError(f"the temperature must not be negative, and is {temperature}")
    logits, state = _read(model, vocabulary, prompt)
    text = ""
    for _ in range(length):
        if temperature == 0:
            drawn = logits.argmax(keepdim=True)
        else:
            drawn = torch.multinomial(torch.softmax((logits - logits.max()) / temperature, dim=-1), 1)
        text += vocabulary.decode(drawn)
        logits, state = _read(model, vocabulary, text[-1], state)
    return text


@torch.no_grad()
def _read(model: CharRNN, vocabulary: Vocabulary, text: str, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The logits (size,) of what follows the text, and the state after it."""
    if not text:
        raise ValueError("the prompt is empty: there is nothing to go on from")
    logits, state = model(one_hot(vocabulary.encode(text)[None], len(vocabulary)), state)
    return logits[0, -1], state
