"""PyTorch's fused attention does the work of a head, dropout of its weights included."""

import torch.nn.functional as F
from torch import nn


class EncoderBlock(nn.Module):
    def __init__(self, width, heads, hidden, dropout=0.1, norm_first=False, eps=1e-5):
        if width % heads != 0:
            raise ValueError(f"width {width}, heads {heads}")
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.mix = nn.Linear(width, width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm([width], eps=eps), nn.LayerNorm([width], eps=eps)
        self.drop_weights, self.drop_hidden = nn.Dropout(dropout), nn.Dropout(dropout)
        self.drop_attended, self.drop_fed = nn.Dropout(dropout), nn.Dropout(dropout)
        self.feed = nn.Sequential(self.expand, nn.ReLU(), self.drop_hidden, self.contract, self.drop_fed)
        self.before = (self.norm1, self.norm2) if norm_first else (nn.Identity(), nn.Identity())
        self.after = (nn.Identity(), nn.Identity()) if norm_first else (self.norm1, self.norm2)

    def forward(self, x, mask=None):
        x = self.after[0](x + self.attend(self.before[0](x), mask))
        return self.after[1](x + self.feed(self.before[1](x)))

    def attend(self, x, mask):
        shape = (*x.shape[:2], self.heads, -1)
        q, k, v = (layer(x).view(shape).movedim(2, 1) for layer in (self.query, self.key, self.value))
        rate = self.drop_weights.p if self.training else 0.0
        visible = None if mask is None else mask[:, None, None, :]
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=rate)
        return self.drop_attended(self.mix(found.transpose(1, 2).flatten(-2)))
