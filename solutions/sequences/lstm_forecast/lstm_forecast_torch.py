"""Forecasting a seasonal series with an LSTM, in PyTorch.

What comes later must not leak into what came before: the split cuts in time, and the scaler has seen the training part
alone. It looks for equal values and not for a deviation of zero, since seven times 0.1 has a computed deviation of
7e-9. The network works on differences to a season ago, where trend and season are gone; in a forecast each difference
is added to the value one season before it, which after the first season is itself a forecast. A rollout feeds every
prediction back and drops the oldest value.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def split(series: Tensor, test: int) -> tuple[Tensor, Tensor]:
    if not 0 < test < len(series):
        raise ValueError(f"{test} of {len(series)} values cannot be put aside")
    return series[:-test], series[-test:]


def windows(series: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    if not 0 < steps < len(series):
        raise ValueError(f"no window of {steps} steps and a target fits into {len(series)} values")
    return series[:-1].unfold(0, steps, 1), series[steps:]


class Scaler:
    def __init__(self, series: Tensor):
        self.mean = series.mean()
        self.deviation = 1.0 if (series == series[0]).all() else series.std(correction=0)

    def transform(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.deviation

    def inverse(self, values: Tensor) -> Tensor:
        return values * self.deviation + self.mean


def prepare(series: Tensor, test: int, period: int, steps: int) -> tuple[Scaler, Tensor, Tensor]:
    past, _ = split(series, test)
    differences = past[period:] - past[:-period]
    scaler = Scaler(differences)
    return scaler, *windows(scaler.transform(differences), steps)


def seasonal_naive(history: Tensor, period: int, horizon: int) -> Tensor:
    if not 0 < period <= history.shape[1]:
        raise ValueError(f"no season of {period} steps in a history of {history.shape[1]}")
    return history[:, -period + torch.arange(horizon) % period]


class Forecaster(nn.Module):
    def __init__(self, units: int):
        super().__init__()
        self.recurrent = nn.LSTM(1, units, batch_first=True)
        self.readout = nn.Linear(units, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.recurrent(x[..., None])
        return self.readout(hidden[:, -1])[:, 0]


def train(model: Forecaster, inputs: Tensor, targets: Tensor, updates: int, learning_rate: float = 0.02) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    losses = []
    for _ in range(updates):
        loss = F.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def rollout(model: Forecaster, history: Tensor, horizon: int) -> Tensor:
    steps = history.shape[1]
    for _ in range(horizon):
        history = torch.cat([history, model(history[:, -steps:])[:, None]], dim=1)
    return history[:, steps:]


def forecast(model: Forecaster, scaler: Scaler, history: Tensor, period: int, horizon: int) -> Tensor:
    differences = history[:, period:] - history[:, :-period]
    coming = scaler.inverse(rollout(model, scaler.transform(differences), horizon))
    for step in range(horizon):
        history = torch.cat([history, history[:, -period, None] + coming[:, step, None]], dim=1)
    return history[:, history.shape[1] - horizon :]
