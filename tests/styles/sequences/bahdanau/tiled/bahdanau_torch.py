"""Query and memory tiled and joined: one product with both matrices, one over the other, makes the hidden layer."""

import torch
from torch import nn


class BahdanauAttention(nn.Module):
    def __init__(self, query_size, memory_size, units):
        super().__init__()
        self.sizes = query_size, memory_size, units
        self.query_layer = nn.Linear(query_size, units, bias=False)
        self.memory_layer = nn.Linear(memory_size, units, bias=False)
        self.score_layer = nn.Linear(units, 1, bias=False)

    def project(self, memory):
        return torch.matmul(memory, self.memory_layer.weight.T)

    def forward(self, query, memory, real=None, keys=None):
        query_size, memory_size, units = self.sizes
        batch, steps, length = query.size(0), query.size(1), memory.size(1)
        if query.size(2) != query_size or tuple(memory.size()) != (batch, length, memory_size):
            raise ValueError("query and memory do not fit")
        if real is not None and tuple(real.size()) != (batch, length):
            raise ValueError("real does not fit")
        if keys is not None and tuple(keys.size()) != (batch, length, units):
            raise ValueError("the keys do not fit")

        asked = query.unsqueeze(2).expand(batch, steps, length, query_size)
        if keys is None:
            offered = memory.unsqueeze(1).expand(batch, steps, length, memory_size)
            both = torch.cat([asked, offered], dim=3)
            hidden = both @ torch.cat([self.query_layer.weight, self.memory_layer.weight], dim=1).T
        else:
            hidden = self.query_layer(asked) + keys.unsqueeze(1)
        energy = self.score_layer(hidden.tanh())[..., 0]
        if real is None:
            real = torch.ones(batch, length, dtype=torch.bool, device=query.device)
        blocked = real.logical_not().unsqueeze(1).expand_as(energy)
        energy = torch.where(blocked, torch.full_like(energy, -torch.inf), energy)
        energy = torch.where(blocked.all(dim=2, keepdim=True), torch.zeros_like(energy), energy)
        weights = energy.softmax(dim=2).masked_fill(blocked, 0.0)
        return torch.bmm(weights, memory), weights
