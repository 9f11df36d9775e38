"""Strided views, a closure for the optimizer, seasons as an axis of their own and sums along it."""

import math

import torch
from torch import nn
from torch.nn.functional import mse_loss, pad


def split(series, test):
    if not 1 <= test <= len(series) - 1:
        raise ValueError(f"test = {test}")
    return series.narrow(0, 0, len(series) - test), series.narrow(0, len(series) - test, test)


def windows(series, steps):
    if not 1 <= steps <= len(series) - 1:
        raise ValueError(f"steps = {steps}")
    (stride,) = series.stride()
    count = len(series) - steps
    return series.as_strided((count, steps), (stride, stride)), series[steps:]


class Scaler:
    def __init__(self, series):
        variance, self.mean = torch.var_mean(series, correction=0)
        self.scale = 1 / variance.sqrt() if series.min() < series.max() else torch.ones(())

    def transform(self, values):
        return self.scale * (values - self.mean)

    def inverse(self, values):
        return values / self.scale + self.mean


def prepare(series, test, period, steps):
    (changes,) = series[: len(series) - test].unfold(0, period + 1, 1)[:, [0, -1]].diff(dim=1).unbind(dim=1)
    scaler = Scaler(changes)
    inputs, targets = windows(changes, steps)
    return scaler, scaler.transform(inputs), scaler.transform(targets)


def seasonal_naive(history, period, horizon):
    if not 1 <= period <= history.shape[1]:
        raise ValueError(f"period = {period}")
    seasons = math.ceil(horizon / period)
    return history[:, None, -period:].expand(-1, seasons, -1).reshape(len(history), seasons * period)[:, :horizon]


class Forecaster(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.recurrent = nn.LSTM(1, units, num_layers=1, batch_first=True)
        self.readout = nn.Linear(units, 1, bias=True)

    def forward(self, x):
        _, (hidden, _) = self.recurrent(x.unsqueeze(2))
        return torch.einsum("bu,u->b", hidden[0], self.readout.weight[0]) + self.readout.bias


def train(model, inputs, targets, updates, learning_rate=0.02):
    optimizer = torch.optim.Adam([{"params": model.parameters(), "lr": learning_rate}])

    def closure():
        optimizer.zero_grad()
        loss = mse_loss(model(inputs), targets)
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(updates)]


def rollout(model, history, horizon):
    steps = history.shape[1]
    values = pad(history, (0, horizon))
    for place in range(horizon):
        with torch.no_grad():
            values[:, steps + place] = model(values[:, place : place + steps])
    return values[:, steps:].detach()


def forecast(model, scaler, history, period, horizon):
    changes = rollout(model, scaler.transform(history[:, period:] - history[:, :-period]), horizon)
    seasons = math.ceil(horizon / period)
    changes = pad(scaler.inverse(changes), (0, seasons * period - horizon)).reshape(len(history), seasons, period)
    return (history[:, None, -period:] + changes.cumsum(dim=1)).reshape(len(history), seasons * period)[:, :horizon]
