"""Another right way: the framework's layer over time, the log-likelihood gathered by hand, Gumbel samples."""

import math

import keras
import tensorflow as tf
from tensorflow import Tensor


class Vocabulary:
    def __init__(self, text: str):
        self.characters = "".join(sorted(set(text)))

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        return tf.cast([self.characters.index(c) for c in text], tf.int64)  # str.index raises ValueError by itself

    def decode(self, ids: Tensor) -> str:
        return "".join(self.characters[int(number)] for number in ids)


def one_hot(ids: Tensor, size: int) -> Tensor:
    values = ids.numpy()
    if values.size and (values.min() < 0 or values.max() >= size):
        raise ValueError("an id is out of range")
    return tf.cast(tf.equal(ids[..., None], tf.range(size, dtype=ids.dtype)), tf.float32)


def windows(ids: Tensor, batch: int, steps: int) -> tuple[Tensor, Tensor]:
    count = (ids.shape[0] - 1) // (batch * steps)
    if count <= 0:
        raise ValueError("the text is too short")
    length = count * steps
    streams = tf.stack([ids[row * length : (row + 1) * length + 1] for row in range(batch)])
    return tf.stack(tf.split(streams[:, :-1], count, axis=1)), tf.stack(tf.split(streams[:, 1:], count, axis=1))


class CharRNN(keras.Model):
    def __init__(self, size: int, units: int):
        super().__init__()
        self.size, self.units = size, units
        self.recurrent = keras.layers.SimpleRNN(units, return_sequences=True, return_state=True)
        self.readout = keras.layers.Dense(size)

    def call(self, x, state=None):
        hidden, state = self.recurrent(x, initial_state=state)
        return self.readout(hidden), state


def surprise(logits: Tensor, targets: Tensor) -> Tensor:
    chosen = tf.gather(logits, targets, axis=-1, batch_dims=len(targets.shape))
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=-1) - chosen)


def train(
    model: CharRNN, ids: Tensor, updates: int, batch: int = 64, steps: int = 16, learning_rate: float = 0.01
) -> list[float]:
    inputs, targets = windows(ids, batch, steps)
    count = inputs.shape[0]
    if not model.built:
        model(tf.zeros((batch, steps, model.size)))
    optimizer = keras.optimizers.Adam(learning_rate=learning_rate)
    optimizer.build(model.trainable_weights)
    carried = tf.Variable(tf.zeros((batch, model.units)))

    @tf.function
    def one_update(x, y):
        with tf.GradientTape() as tape:
            logits, state = model(tf.one_hot(x, model.size), carried.read_value())
            loss = surprise(logits, y)
        optimizer.apply(tape.gradient(loss, model.trainable_weights), model.trainable_weights)
        carried.assign(state)
        return loss

    losses = []
    for number in range(updates):
        if number % count == 0:
            carried.assign(tf.zeros_like(carried))
        losses.append(one_update(inputs[number % count], targets[number % count]).numpy().item())
    return losses


def perplexity(model: CharRNN, ids: Tensor) -> float:
    logits, _ = model(one_hot(ids[tf.newaxis, :-1], model.size))
    return math.exp(surprise(logits, ids[tf.newaxis, 1:]))


def predict(model: CharRNN, vocabulary: Vocabulary, prompt: str) -> Tensor:
    if not prompt:
        raise ValueError("an empty prompt")
    logits, _ = model(one_hot(vocabulary.encode(prompt), len(vocabulary))[tf.newaxis])
    return keras.activations.softmax(logits[:, -1])[0]


def sample(model: CharRNN, vocabulary: Vocabulary, prompt: str, length: int, temperature: float = 1.0) -> str:
    if not prompt or temperature < 0:
        raise ValueError("an empty prompt or a negative temperature")
    state, text, pending = None, [], prompt
    while len(text) < length:
        logits, state = model(one_hot(vocabulary.encode(pending), len(vocabulary))[tf.newaxis], state)
        uniform = tf.random.uniform([len(vocabulary)], 1e-20, 1 - 1e-7)
        gumbel = -tf.math.log(-tf.math.log(uniform))
        pending = vocabulary.characters[int(tf.argmax(logits[0, -1] + temperature * gumbel))]
        text.append(pending)
    return "".join(text)
