"""Every product an einsum over named axes; the softmax as exp(score − logsumexp of the real scores)."""

import torch
from torch import einsum, nn


class BahdanauAttention(nn.Module):
    def __init__(self, query_size: int, memory_size: int, units: int):
        super().__init__()
        self.query_layer, self.memory_layer, self.score_layer = (
            nn.Linear(inputs, outputs, bias=False)
            for inputs, outputs in ((query_size, units), (memory_size, units), (units, 1))
        )

    def project(self, memory):
        return einsum("bsm,um->bsu", memory, self.memory_layer.weight)

    def forward(self, query, memory, real=None, keys=None):
        for tensor, layer in ((query, self.query_layer), (memory, self.memory_layer)):
            if tensor.shape[-1] != layer.in_features or tensor.shape[0] != query.shape[0]:
                raise ValueError("wrong width, or another number of sequences")
        if real is not None and real.shape != memory.shape[:-1]:
            raise ValueError("one entry of real for each position")
        if keys is not None and keys.shape != (*memory.shape[:-1], self.memory_layer.out_features):
            raise ValueError("one key for each position")

        keys = self.project(memory) if keys is None else keys
        asked = einsum("btq,uq->btu", query, self.query_layer.weight)
        scores = einsum("btsu,u->bts", (asked.unsqueeze(2) + keys.unsqueeze(1)).tanh(), self.score_layer.weight[0])
        if real is None:
            real = torch.ones(memory.shape[:-1], dtype=torch.bool, device=memory.device)
        lowest = torch.finfo(scores.dtype).min
        normaliser = torch.logsumexp(scores.masked_fill(~real.unsqueeze(1), lowest), dim=-1, keepdim=True)
        weights = torch.exp((scores - normaliser).masked_fill(~real.unsqueeze(1), lowest))
        return einsum("bts,bsm->btm", weights, memory), weights
