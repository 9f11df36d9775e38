"""Both branches go through one function that knows where the norm stands, as in the Annotated Transformer."""

import torch
from torch import nn


class EncoderBlock(nn.Module):
    def __init__(self, width, heads, hidden, dropout=0.1, norm_first=False, eps=1e-5):
        super().__init__()
        self.depth, rest = divmod(width, heads)
        if rest:
            raise ValueError("the heads must share the width evenly")
        self.width, self.heads = width, heads
        for name in ("query", "key", "value", "mix"):
            setattr(self, name, nn.Linear(width, width))
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        for name in ("norm1", "norm2"):
            setattr(self, name, nn.LayerNorm(width, eps=eps))
        for name in ("drop_weights", "drop_attended", "drop_hidden", "drop_fed"):
            setattr(self, name, nn.Dropout(p=dropout))
        self.connect = self.around_normed if norm_first else self.around

    @staticmethod
    def around_normed(x, norm, branch):
        return branch(norm(x)).add(x)

    @staticmethod
    def around(x, norm, branch):
        return norm(branch(x).add(x))

    def forward(self, x, mask=None):
        bias = 0.0 if mask is None else (1.0 - mask.to(x.dtype))[:, None, None] * -1e9
        x = self.connect(x, self.norm1, lambda h: self.attend(h, bias))
        return self.connect(x, self.norm2, self.feed)

    def attend(self, x, bias):
        batch, length = x.shape[:2]

        def heads_of(layer):
            return layer(x).reshape(batch, length, self.heads, self.depth).permute(0, 2, 1, 3)

        q, k, v = heads_of(self.query) * self.depth**-0.5, heads_of(self.key), heads_of(self.value)
        looks = self.drop_weights((torch.matmul(q, k.mT) + bias).softmax(dim=-1))
        mixed = torch.matmul(looks, v).permute(0, 2, 1, 3).reshape(batch, length, self.width)
        return self.drop_attended(self.mix(mixed))

    def feed(self, x):
        hidden = nn.functional.relu(self.expand(x))
        return self.drop_fed(self.contract(self.drop_hidden(hidden)))
