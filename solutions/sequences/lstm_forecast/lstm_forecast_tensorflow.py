"""Forecasting a seasonal series with an LSTM, in TensorFlow.

What comes later must not leak into what came before: the split cuts in time, and the scaler has seen the training part
alone. It looks for equal values and not for a deviation of zero, since seven times 0.1 has a computed deviation of
7e-9. The network works on differences to a season ago, where trend and season are gone; in a forecast each difference
is added to the value one season before it, which after the first season is itself a forecast. A rollout feeds every
prediction back and drops the oldest value. The update is traced once.
"""

import tensorflow as tf
from tensorflow import Tensor, keras


def split(series: Tensor, test: int) -> tuple[Tensor, Tensor]:
    if not 0 < test < len(series):
        raise ValueError(f"{test} of {len(series)} values cannot be put aside")
    return series[:-test], series[-test:]


def windows(series: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    if not 0 < steps < len(series):
        raise ValueError(f"no window of {steps} steps and a target fits into {len(series)} values")
    return tf.signal.frame(series[:-1], steps, 1), series[steps:]


class Scaler:
    def __init__(self, series: Tensor):
        self.mean = tf.reduce_mean(series)
        self.deviation = 1.0 if tf.reduce_all(series == series[0]) else tf.math.reduce_std(series)

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
    return tf.gather(history[:, -period:], tf.range(horizon) % period, axis=1)


class Forecaster(keras.Model):
    def __init__(self, units: int):
        super().__init__()
        self.recurrent = keras.layers.LSTM(units)
        self.readout = keras.layers.Dense(1)

    def call(self, x: Tensor) -> Tensor:
        return self.readout(self.recurrent(x[..., None]))[:, 0]


def train(model: Forecaster, inputs: Tensor, targets: Tensor, updates: int, learning_rate: float = 0.02) -> list[float]:
    model(inputs[:1])  # a first call makes the weights
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)  # variables made inside the update would have it traced twice

    @tf.function
    def update() -> Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(inputs) - targets) ** 2)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    return [float(update()) for _ in range(updates)]


def rollout(model: Forecaster, history: Tensor, horizon: int) -> Tensor:
    steps = history.shape[1]
    for _ in range(horizon):
        history = tf.concat([history, model(history[:, -steps:])[:, None]], axis=1)
    return history[:, steps:]


def forecast(model: Forecaster, scaler: Scaler, history: Tensor, period: int, horizon: int) -> Tensor:
    differences = history[:, period:] - history[:, :-period]
    coming = scaler.inverse(rollout(model, scaler.transform(differences), horizon))
    for step in range(horizon):
        history = tf.concat([history, history[:, -period, None] + coming[:, step, None]], axis=1)
    return history[:, history.shape[1] - horizon :]
