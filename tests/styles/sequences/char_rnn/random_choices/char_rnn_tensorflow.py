"""Another right way: keras.layers.RNN around a cell, rows of the identity, samples by NumPy's random numbers."""

from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor


class Vocabulary(dict):
    """Character to id."""

    def __init__(self, text: str):
        super().__init__((character, number) for number, character in enumerate(sorted({*text})))
        self.characters = "".join(self)

    def encode(self, text: str) -> Tensor:
        try:
            return tf.convert_to_tensor(np.array([self[character] for character in text], dtype="int32"))
        except KeyError as error:
            raise ValueError(f"never seen: {error}") from None

    def decode(self, ids: Tensor) -> str:
        return "".join([self.characters[number] for number in np.asarray(ids)])


def one_hot(ids: Tensor, size: int) -> Tensor:
    if not np.all((np.asarray(ids) >= 0) & (np.asarray(ids) < size)):
        raise ValueError("out of range")
    return tf.gather(tf.eye(size), ids)


def windows(ids: Tensor, batch: int, steps: int) -> tuple[Tensor, Tensor]:
    length = (ids.shape[0] - 1) // batch // steps * steps
    if length < steps:
        raise ValueError("too short")
    places = np.arange(batch)[None, :, None] * length + np.arange(0, length, steps)[:, None, None] + np.arange(steps)
    return tf.gather(ids, places), tf.gather(ids, places + 1)


class CharRNN(keras.Model):
    def __init__(self, size: int, units: int):
        super().__init__()
        self.recurrent = keras.layers.RNN(keras.layers.SimpleRNNCell(units), return_sequences=True, return_state=True)
        self.readout = keras.layers.Dense(size)
        self.size = size

    def call(self, x, state=None):
        hidden, *state = self.recurrent(x, initial_state=state)
        return self.readout(hidden), state


def train(
    model: CharRNN, ids: Tensor, updates: int, batch: int = 64, steps: int = 16, learning_rate: float = 0.01
) -> list[float]:
    criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(learning_rate)
    inputs, targets = windows(ids, batch, steps)
    model(one_hot(inputs[0], model.size))
    optimizer.build(model.trainable_variables)

    def update(x, y, state):
        with tf.GradientTape() as tape:
            logits, state = model(tf.one_hot(x, model.size), state)
            loss = criterion(y, logits)
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))  # noqa: B905
        return loss, state

    traced = tf.function(update, reduce_retracing=True)
    losses = []
    while len(losses) < updates:
        state = None
        for x, y in zip(inputs, targets, strict=True):
            if len(losses) < updates:
                loss, state = traced(x, y, state)
                losses.append(float(loss))
    return losses


def perplexity(model: CharRNN, ids: Tensor) -> float:
    total, state = 0.0, None
    values = np.asarray(ids)
    for this, following in pairwise(values):
        logits, state = model(one_hot(tf.reshape(this, [1, 1]), model.size), state)
        total -= float(tf.nn.log_softmax(logits[0, 0])[following])
    return float(np.exp(total / (len(values) - 1)))


def advance(model: CharRNN, vocabulary: Vocabulary, text: str, state=None) -> tuple[Tensor, list]:
    if text == "":
        raise ValueError("what should be gone on from?")
    logits, state = model(one_hot(tf.expand_dims(vocabulary.encode(text), 0), len(vocabulary)), state)
    return logits[0, -1], state


def predict(model: CharRNN, vocabulary: Vocabulary, prompt: str) -> Tensor:
    return keras.ops.softmax(advance(model, vocabulary, prompt)[0])


def sample(model: CharRNN, vocabulary: Vocabulary, prompt: str, length: int, temperature: float = 1.0) -> str:
    if temperature < 0:
        raise ValueError("a negative temperature")
    logits, state = advance(model, vocabulary, prompt)
    text = prompt
    for _ in range(length):
        values = logits.numpy().astype("float64")
        if temperature:
            powers = np.exp((values - values.max()) / temperature)
            text += vocabulary.characters[np.random.choice(len(values), p=powers / powers.sum())]
        else:
            text += vocabulary.characters[values.argmax()]
        logits, state = advance(model, vocabulary, text[-1], state)
    return text[len(prompt) :]
