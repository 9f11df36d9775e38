"""The LSTM cell unrolled by hand, lists in place of a growing tensor, and windows by gathered indices."""

import tensorflow as tf
from tensorflow import keras


def split(series, test):
    before = int(series.shape[0]) - test
    if test < 1 or before < 1:
        raise ValueError("an empty part")
    first, second = tf.split(series, [before, test])
    return first, second


def windows(series, steps):
    count = int(series.shape[0]) - steps
    if steps < 1 or count < 1:
        raise ValueError("no window")
    both = tf.gather(series, tf.range(count)[:, None] + tf.range(steps + 1))
    return both[:, :steps], both[:, steps]


class Scaler:
    def __init__(self, series):
        centre, variance = tf.nn.moments(series, axes=[0])
        self.centre, self.width = float(centre), float(tf.sqrt(variance))
        if self.width <= 1e-6 * abs(self.centre):  # rounding
            self.width = 1.0

    def transform(self, values):
        return tf.divide(values - self.centre, self.width)

    def inverse(self, values):
        return tf.add(values * self.width, self.centre)


def prepare(series, test, period, steps):
    known, _ = split(series, test)
    change = known[period:] - known[: known.shape[0] - period]
    scaler = Scaler(change)
    inputs, targets = windows(scaler.transform(change), steps)
    return scaler, inputs, targets


def seasonal_naive(history, period, horizon):
    if period < 1 or period > history.shape[1]:
        raise ValueError("no such season")
    season = history[:, history.shape[1] - period :]
    return tf.tile(season, [1, -(-horizon // period)])[:, :horizon]


class Forecaster(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.recurrent, self.readout = keras.layers.LSTMCell(units), keras.layers.Dense(1)

    def call(self, x):
        state = [tf.zeros([tf.shape(x)[0], self.recurrent.units])] * 2
        for step in tf.unstack(x, axis=1):
            hidden, state = self.recurrent(step[:, tf.newaxis], state)
        return tf.squeeze(self.readout(hidden), axis=1)


def train(model, inputs, targets, updates, learning_rate=0.02):
    optimizer, losses = keras.optimizers.Adam(learning_rate=learning_rate), []

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = keras.losses.MeanSquaredError()(y[:, tf.newaxis], model(x)[:, tf.newaxis])
        variables = model.trainable_weights
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    for _ in range(updates):
        losses.append(step(inputs, targets).numpy().item())
    return losses


def rollout(model, history, horizon):
    window = tf.unstack(history, axis=1)
    steps, coming = len(window), []
    predict = tf.function(model) if horizon > 3 else model
    for _ in range(horizon):
        coming.append(predict(tf.stack(window, axis=1)))
        window = (window + coming[-1:])[-steps:]
    return tf.stack(coming, axis=1) if coming else history[:, :0]


def forecast(model, scaler, history, period, horizon):
    change = history[:, period:] - history[:, : history.shape[1] - period]
    change = scaler.inverse(rollout(model, scaler.transform(change), horizon))
    values = []
    for step in range(horizon):
        before = history[:, step - period] if step < period else values[step - period]
        values.append(before + change[:, step])
    return tf.stack(values, axis=1) if values else history[:, :0]
