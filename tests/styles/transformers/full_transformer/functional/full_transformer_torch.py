"""PyTorch's fused attention, numbers to add in place of masks within, one buffer to write translations into."""

import torch
import torch.nn.functional as F
from torch import nn

PAD, BOS, EOS = 0, 1, 2


def shift_right(target):
    return F.pad(target[:, :-1], (1, 0), value=BOS)


def causal_mask(length):
    place = torch.arange(length)
    return place.unsqueeze(1) >= place


def translation_loss(logits, target):
    words = target.ne(PAD)
    scores = logits[words].log_softmax(dim=-1)
    return -scores.gather(1, target[words].unsqueeze(1)).mean()


def waves(length, width):
    table = torch.empty(length, width)
    rates = torch.logspace(0, -4 * (width - 2) / width, width // 2)
    angles = torch.outer(torch.arange(length).float(), rates)
    table[:, ::2], table[:, 1::2] = angles.sin(), angles.cos()
    return table


class Attention(nn.Module):
    def __init__(self, width, heads):
        if width % heads != 0:
            raise ValueError(f"width {width}, heads {heads}")
        super().__init__()
        self.shape = heads, width // heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.mix = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, memory, mask):
        q = self.query(x).view(*x.shape[:2], *self.shape).movedim(2, 1)
        k = self.key(memory).view(*memory.shape[:2], *self.shape).movedim(2, 1)
        v = self.value(memory).view(*memory.shape[:2], *self.shape).movedim(2, 1)
        return self.mix(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).movedim(1, 2).reshape(x.shape))


class EncoderLayer(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.attention = Attention(width, heads)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def feed(self, x):
        return self.contract(F.relu(self.expand(x)))

    def forward(self, x, mask):
        normed = self.norm1(x)
        x = self.attention(normed, normed, mask).add(x)
        return self.feed(self.norm2(x)).add(x)


class DecoderLayer(EncoderLayer):
    def __init__(self, width, heads, hidden):
        super().__init__(width, heads, hidden)
        self.cross, self.norm3 = Attention(width, heads), nn.LayerNorm(width)

    def forward(self, x, mask, memory, memory_mask):
        normed = self.norm1(x)
        x = self.attention(normed, normed, mask).add(x)
        x = self.cross(self.norm2(x), memory, memory_mask).add(x)
        return self.feed(self.norm3(x)).add(x)


class Transformer(nn.Module):
    def __init__(self, vocabulary, width=32, heads=4, hidden=64, layers=1):
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(vocabulary, width)
        self.embedding.weight.data.normal_(0, 1 / width**0.5)
        self.encoder = nn.ModuleList([])
        self.decoder = nn.ModuleList([])
        for _ in range(layers):
            self.encoder.append(EncoderLayer(width, heads, hidden))
            self.decoder.append(DecoderLayer(width, heads, hidden))
        self.encoder_norm = nn.LayerNorm(width)
        self.decoder_norm = nn.LayerNorm(width)

    def tokens(self, ids):
        return torch.add(waves(ids.size(1), self.width), F.embedding(ids, self.embedding.weight), alpha=self.width**0.5)

    def encode(self, source):
        x, words = self.tokens(source), source.ne(PAD).view(len(source), 1, 1, -1)
        for layer in self.encoder:
            x = layer(x, words)
        return self.encoder_norm(x)

    def decode(self, target, memory, source):
        x, words = self.tokens(target), source.ne(PAD).view(len(source), 1, 1, -1)
        past = causal_mask(target.size(1))[None, None] & target.ne(PAD)[:, None, None]  # hides PADs of the target, too
        past = past | torch.eye(target.size(1), dtype=torch.bool)
        for layer in self.decoder:
            x = layer(x, past, memory, words)
        return F.linear(self.decoder_norm(x), self.embedding.weight)

    def forward(self, source, target):
        return self.decode(target, self.encode(source), source)


def train(model, sources, targets, updates, batch=64, learning_rate=8e-3):
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    losses = torch.zeros(updates)
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = learning_rate * (1 - update / updates)
        chosen = torch.multinomial(torch.ones(len(sources)), min(batch, len(sources)))
        read, wanted = shift_right(targets[chosen]), targets[chosen]
        loss = translation_loss(model(sources[chosen], read), wanted)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        losses[update] = loss.detach()
    return losses.tolist()


def translate(model, source, longest):
    written = source.new_full((len(source), longest + 1), PAD)
    written[:, 0] = BOS
    going = torch.ones(len(source), dtype=torch.bool)
    with torch.inference_mode():
        memory = model.encode(source)
        for place in range(longest):
            if not going.any():
                break
            best = model.decode(written[going, : place + 1], memory[going], source[going])[:, place].argmax(dim=1)
            written[going, place + 1] = best
            going[going.clone()] = best != EOS
    return written[:, 1:].clone()
