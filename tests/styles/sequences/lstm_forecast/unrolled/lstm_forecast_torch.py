"""Lists in place of a growing tensor, windows by indices, and the final state of the LSTM in place of its outputs."""

import torch
from torch import nn


def split(series, test):
    before = series.size(0) - test
    if test < 1 or before < 1:
        raise ValueError("an empty part")
    first, second = torch.split(series, [before, test])
    return first, second


def windows(series, steps):
    count = series.size(0) - steps
    if steps < 1 or count < 1:
        raise ValueError("no window")
    places = torch.arange(count, device=series.device)[:, None] + torch.arange(steps + 1, device=series.device)
    both = series[places]
    return both[:, :steps], both[:, steps]


class Scaler:
    def __init__(self, series):
        self.centre = torch.mean(series).item()
        self.width = torch.sqrt(torch.mean((series - self.centre) ** 2)).item()
        if self.width <= 1e-6 * abs(self.centre):  # rounding
            self.width = 1.0

    def transform(self, values):
        return values.sub(self.centre).div(self.width)

    def inverse(self, values):
        return values.mul(self.width).add(self.centre)


def prepare(series, test, period, steps):
    known, _ = split(series, test)
    change = known[period:] - known[: known.shape[0] - period]
    scaler = Scaler(change)
    inputs, targets = windows(scaler.transform(change), steps)
    return scaler, inputs, targets


def seasonal_naive(history, period, horizon):
    if period < 1 or period > history.size(1):
        raise ValueError("no such season")
    season = history[:, history.size(1) - period :]
    return season.repeat(1, -(-horizon // period) or 1)[:, :horizon]


class Forecaster(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.recurrent = nn.LSTM(input_size=1, hidden_size=units)
        self.readout = nn.Linear(units, 1)

    def forward(self, x):
        _, (state, _) = self.recurrent(x.T.unsqueeze(-1))
        return self.readout(state.squeeze(0)).squeeze(-1)


def train(model, inputs, targets, updates, learning_rate=0.02):
    losses, optimizer = [], torch.optim.Adam(list(model.parameters()), learning_rate)
    while len(losses) < updates:
        model.zero_grad()
        error = model(inputs) - targets
        loss = error.square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def rollout(model, history, horizon):
    window = list(history.unbind(dim=1))
    steps, coming = len(window), []
    with torch.inference_mode():
        for _ in range(horizon):
            coming.append(model(torch.stack(window, dim=1)))
            window = (window + coming[-1:])[-steps:]
    return torch.stack(coming, dim=1).clone() if coming else history[:, :0]


def forecast(model, scaler, history, period, horizon):
    change = history[:, period:] - history[:, : history.size(1) - period]
    change = scaler.inverse(rollout(model, scaler.transform(change), horizon))
    seasons = [history[:, -period + step % period] for step in range(horizon)]
    values = []
    for step in range(horizon):
        before = seasons[step] if step < period else values[step - period]
        values.append(before + change[:, step])
    return torch.stack(values, 1) if values else history[:, :0]
