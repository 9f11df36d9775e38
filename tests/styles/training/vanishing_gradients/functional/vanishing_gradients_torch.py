"""The layers in pairs, and gradients by torch.func on the parameters as a dictionary: the model is never written to."""

import math

import torch
from torch import nn
from torch.func import functional_call, grad_and_value
from torch.nn import functional as F


class DeepNet(nn.Module):
    def __init__(self, in_features, width, depth, classes, activation="sigmoid", norm=False, residual=False, gain=None):
        super().__init__()
        if activation not in ("sigmoid", "relu") or depth <= 0:
            raise ValueError("what net is that?")
        self.f = {"sigmoid": nn.Sigmoid(), "relu": nn.ReLU()}[activation]
        self.residual = residual
        first = nn.Linear(in_features, width, bias=not norm)
        self.hidden = nn.ModuleList([first, *(nn.Linear(width, width, bias=not norm) for _ in range(depth - 1))])
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in self.hidden] if norm else [])
        self.head = nn.Linear(width, classes)
        strength = gain if gain is not None else nn.init.calculate_gain(activation)
        with torch.no_grad():
            for layer in [*self.hidden, self.head]:
                half = math.sqrt(3 / layer.in_features) * (1.0 if layer is self.head else strength)
                layer.weight.uniform_(-half, half)
                if layer.bias is not None:
                    layer.bias.fill_(0)

    def forward(self, x):
        norms = list(self.norms) or [nn.Identity()] * len(self.hidden)
        (first, first_norm), *rest = zip(self.hidden, norms, strict=True)
        x = self.f(first_norm(first(x)))
        for linear, norm in rest:
            branch = self.f(norm(linear(x)))
            x = torch.add(x, branch) if self.residual else branch
        return self.head(x)


def _loss(parameters, buffers, model, x, labels):
    return F.cross_entropy(functional_call(model, (parameters, buffers), (x,)), labels)


def gradient_norms(model, x, labels):
    was_training = model.training
    model.train()
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    gradients, _ = grad_and_value(_loss)(parameters, buffers, model, x, labels)
    model.train(was_training)
    return [torch.linalg.vector_norm(gradients[f"hidden.{i}.weight"]).item() for i in range(len(model.hidden))]


def report(norms, factor=1000.0):
    if len(norms) < 1 or factor <= 1:
        raise ValueError("nothing to report")
    last, verdict, found = norms[-1], "healthy", None
    for index, norm in enumerate(norms):  # from the front: what is found later lies nearer to the end
        if norm == 0 or norm * factor < last:
            verdict, found = "vanishing", index
        elif math.isnan(norm) or math.isinf(norm) or norm / factor > last:
            verdict, found = "exploding", index
    if last == 0:
        return "vanishing", len(norms) - 1
    return ("exploding", len(norms) - 1) if not math.isfinite(last) else (verdict, found)


def train(model, batches, learning_rate):
    model.train()
    losses = []
    for x, labels in batches:
        loss = F.cross_entropy(model(x), labels)
        parameters = list(model.parameters())
        with torch.no_grad():
            for parameter, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.add_(slope, alpha=-learning_rate)
        losses.append(float(loss))
    return losses
