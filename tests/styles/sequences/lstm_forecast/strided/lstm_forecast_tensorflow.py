"""Seasons as an axis of their own and sums along it; the scaler a layer; Keras' own loss object."""

import math

import tensorflow as tf
from tensorflow import keras


def split(series, test):
    if not 1 <= test <= len(series) - 1:
        raise ValueError(f"test = {test}")
    return tf.slice(series, [0], [len(series) - test]), tf.slice(series, [len(series) - test], [test])


def windows(series, steps):
    if not 1 <= steps <= len(series) - 1:
        raise ValueError(f"steps = {steps}")
    count = len(series) - steps
    return tf.stack([series[step : step + count] for step in range(steps)], axis=1), series[steps:]


class Scaler(keras.layers.Layer):
    def __init__(self, series):
        super().__init__()
        self.mean = tf.math.reduce_mean(series)
        variance = tf.reduce_mean(tf.math.squared_difference(series, self.mean))
        varies = tf.reduce_max(series) > tf.reduce_min(series)
        self.scale = tf.math.rsqrt(variance) if varies else tf.ones([])

    def transform(self, values):
        return self.scale * (values - self.mean)

    def inverse(self, values):
        return values / self.scale + self.mean


def prepare(series, test, period, steps):
    places = tf.range(len(series) - test - period)
    changes = tf.gather(series, places + period) - tf.gather(series, places)
    scaler = Scaler(changes)
    return scaler, *map(scaler.transform, windows(changes, steps))


def seasonal_naive(history, period, horizon):
    if not 1 <= period <= history.shape[1]:
        raise ValueError(f"period = {period}")
    seasons = math.ceil(horizon / period)
    repeated = tf.repeat(history[:, tf.newaxis, -period:], seasons, axis=1)
    return tf.reshape(repeated, [len(history), seasons * period])[:, :horizon]


class Forecaster(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.recurrent = keras.layers.LSTM(units, return_sequences=True)
        self.readout = keras.layers.Dense(1)

    def call(self, x):
        return self.readout(self.recurrent(tf.expand_dims(x, -1)))[:, -1, 0]


def train(model, inputs, targets, updates, learning_rate=0.02):
    optimizer, measure = keras.optimizers.Adam(learning_rate), keras.losses.MeanSquaredError()
    data = [inputs, targets[:, tf.newaxis]]

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = measure(y, model(x)[:, tf.newaxis])
        weights = model.trainable_variables
        optimizer.apply_gradients(list(zip(tape.gradient(loss, weights), weights, strict=True)))
        return loss

    traced = tf.function(step, reduce_retracing=True)
    return list(map(float, [traced(*data) for _ in range(updates)]))


def rollout(model, history, horizon):
    steps, values = history.shape[1], [history]
    for _ in range(horizon):
        values.append(tf.reshape(model(tf.concat(values, 1)[:, -steps:]), [-1, 1]))
    return tf.concat(values, 1)[:, steps:]


def forecast(model, scaler, history, period, horizon):
    changes = rollout(model, scaler.transform(history[:, period:] - history[:, :-period]), horizon)
    seasons = math.ceil(horizon / period)
    changes = tf.pad(scaler.inverse(changes), [[0, 0], [0, seasons * period - horizon]])
    changes = tf.cumsum(tf.reshape(changes, [len(history), seasons, period]), axis=1)
    return tf.reshape(history[:, tf.newaxis, -period:] + changes, [len(history), seasons * period])[:, :horizon]
