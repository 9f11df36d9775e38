"""A character-level language model on a plain RNN, in TensorFlow.

At every position the network reads one character and predicts the next, so one window of text is as many examples as
it has characters. Each row of a batch is a stream of its own: window k + 1 goes on where window k ended, which lets
the state be carried from one update to the next; as a plain tensor that comes from outside the tape, it carries no
gradient. The trap is the trace: the update is one tf.function, fed tensors of one shape, or every update is slow.
"""

import tensorflow as tf
from tensorflow import Tensor, keras


class Vocabulary:
    def __init__(self, text: str):
        self.characters = "".join(sorted(set(text)))
        self._ids = {character: number for number, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tensor:
        if unknown := set(text) - self._ids.keys():
            raise ValueError(f"not in the vocabulary: {sorted(unknown)}")
        return tf.constant([self._ids[character] for character in text], tf.int32)

    def decode(self, ids: Tensor) -> str:
        return "".join(self.characters[number] for number in ids.numpy())


def one_hot(ids: Tensor, size: int) -> Tensor:
    if tf.reduce_any((ids < 0) | (ids >= size)):
        raise ValueError(f"ids must lie between 0 and {size - 1}")
    return tf.one_hot(ids, size)


def windows(ids: Tensor, batch: int, steps: int) -> tuple[Tensor, Tensor]:
    count = (len(ids) - 1) // (batch * steps)
    if count < 1:
        raise ValueError(f"{len(ids)} characters are too few for {batch} rows of {steps} steps")
    used = count * batch * steps
    streams = (tf.reshape(part, [batch, count, steps]) for part in (ids[:used], ids[1 : used + 1]))
    inputs, targets = (tf.transpose(stream, [1, 0, 2]) for stream in streams)
    return inputs, targets


class CharRNN(keras.Model):
    def __init__(self, size: int, units: int):
        super().__init__()
        self.recurrent = keras.layers.SimpleRNNCell(units)
        self.readout = keras.layers.Dense(size)

    def call(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if state is None:
            state = tf.zeros([x.shape[0], self.recurrent.units])
        hidden = []
        for step in tf.unstack(x, axis=1):
            state, _ = self.recurrent(step, [state])
            hidden.append(state)
        return self.readout(tf.stack(hidden, axis=1)), state


def train(
    model: CharRNN, ids: Tensor, updates: int, batch: int = 64, steps: int = 16, learning_rate: float = 0.01
) -> list[float]:
    size = model.readout.units
    inputs, targets = windows(ids, batch, steps)
    start = tf.zeros([batch, model.recurrent.units])
    model(tf.zeros([1, 1, size]))  # a first call makes the weights
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function
    def update_on(x, y, state):
        with tf.GradientTape() as tape:
            logits, state = model(tf.one_hot(x, size), state)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss, state

    losses, state = [], start
    for update in range(updates):
        window = update % len(inputs)
        loss, state = update_on(inputs[window], targets[window], start if window == 0 else state)
        losses.append(float(loss))
    return losses


def perplexity(model: CharRNN, ids: Tensor) -> float:
    logits, _ = model(one_hot(ids[None, :-1], model.readout.units))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids[1:], logits[0])
    return float(tf.exp(tf.reduce_mean(losses)))


def predict(model: CharRNN, vocabulary: Vocabulary, prompt: str) -> Tensor:
    return tf.nn.softmax(_read(model, vocabulary, prompt)[0])


def sample(model: CharRNN, vocabulary: Vocabulary, prompt: str, length: int, temperature: float = 1.0) -> str:
    if temperature < 0:
        raise ValueError(f"the temperature must not be negative, and is {temperature}")
    logits, state = _read(model, vocabulary, prompt)
    text = ""
    for _ in range(length):
        if temperature == 0:
            drawn = tf.argmax(logits)[None]
        else:
            drawn = tf.random.categorical((logits - tf.reduce_max(logits))[None] / temperature, 1)[0]
        text += vocabulary.decode(drawn)
        logits, state = _read(model, vocabulary, text[-1], state)
    return text


def _read(model: CharRNN, vocabulary: Vocabulary, text: str, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The logits (size,) of what follows the text, and the state after it."""
    if not text:
        raise ValueError("the prompt is empty: there is nothing to go on from")
    logits, state = model(one_hot(vocabulary.encode(text)[None], len(vocabulary)), state)
    return logits[0, -1], state
