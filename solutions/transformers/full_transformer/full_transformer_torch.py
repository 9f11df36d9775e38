"""The whole Transformer, encoder and decoder, in PyTorch.

One attention serves three places; only where keys come from and what is hidden differ. The target is learned at all
positions at once, which is honest only because of two things that belong together: the decoder reads the target moved
one place to the right, and the causal mask lets no position look further. Without the first it copies its answer,
without the second it looks it up; both show a splendid loss, and translate nothing.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PAD, BOS, EOS = 0, 1, 2


def shift_right(target: Tensor) -> Tensor:
    return torch.cat([torch.full_like(target[:, :1], BOS), target[:, :-1]], dim=1)


def causal_mask(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


def translation_loss(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)


def waves(length: int, width: int) -> Tensor:
    angles = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide the width {width}")
        self.heads = heads
        self.query, self.key, self.value, self.mix = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (
            layer(t).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, t in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        looks = torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1)
        return self.mix((looks @ v).transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.attention = Attention(width, heads)
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, mask)
        return x + self.contract(torch.relu(self.expand(self.norm2(x))))


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.attention, self.cross = Attention(width, heads), Attention(width, heads)
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, mask)
        x = x + self.cross(self.norm2(x), memory, memory_mask)
        return x + self.contract(torch.relu(self.expand(self.norm3(x))))


class Transformer(nn.Module):
    def __init__(self, vocabulary: int, width: int = 32, heads: int = 4, hidden: int = 64, layers: int = 1):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, hidden) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, hidden) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, self.encode(source), source)

    def encode(self, source: Tensor) -> Tensor:
        x = self._embed(source)
        for layer in self.encoder:
            x = layer(x, _not_padding(source))
        return self.encoder_norm(x)

    def decode(self, target: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        x, mask = self._embed(target), causal_mask(target.shape[1]).to(target.device)
        for layer in self.decoder:
            x = layer(x, mask, memory, _not_padding(source))
        return self.decoder_norm(x) @ self.embedding.weight.T

    def _embed(self, ids: Tensor) -> Tensor:
        width = self.embedding.embedding_dim
        return self.embedding(ids) * math.sqrt(width) + waves(ids.shape[1], width).to(ids.device)


def _not_padding(source: Tensor) -> Tensor:
    """(B, 1, 1, S): the same for every head and every position that looks."""
    return (source != PAD)[:, None, None, :]


def train(
    model: Transformer,
    sources: Tensor,
    targets: Tensor,
    updates: int,
    batch: int = 64,
    learning_rate: float = 8e-3,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, updates)
    losses = []
    for _ in range(updates):
        drawn = torch.randperm(len(sources))[:batch]
        source, target = sources[drawn], targets[drawn]
        loss = translation_loss(model(source, shift_right(target)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def translate(model: Transformer, source: Tensor, longest: int) -> Tensor:
    memory = model.encode(source)
    read = torch.full_like(source[:, :1], BOS)
    for _ in range(longest):
        chosen = model.decode(read, memory, source)[:, -1:].argmax(dim=-1)
        ended = (read == EOS).any(dim=1, keepdim=True)
        read = torch.cat([read, chosen.masked_fill(ended, PAD)], dim=1)
    return read[:, 1:]
