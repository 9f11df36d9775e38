"""Levels of the char_rnn kata. Expected values come from `by_hand`, the same network in float64 NumPy."""

import re
from itertools import pairwise

import numpy as np
import pytest

from dojo import level

text_as_numbers = level(1, "text as numbers")
windows = level(2, "windows")
network = level(3, "the network", points=2)
perplexity_level = level(4, "perplexity")
training = level(5, "training", points=3)
prediction_sampling = level(6, "prediction and sampling", points=2)
one_step_character = level(7, "one step a character")
english_level = level(8, "English", points=3)

TEMPERATURE = 0.5  # of the English that is sampled


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def by_hand(weights, ids, state=None):
    """Logits (rows, steps, size) and the state after them, of a plain RNN that reads `ids` (rows, steps)."""
    hidden = np.zeros((len(ids), len(weights["recurrent"]))) if state is None else state
    logits = []
    for column in np.transpose(ids):
        hidden = np.tanh(weights["kernel"][column] + hidden @ weights["recurrent"] + weights["bias"])
        logits.append(hidden @ weights["readout"] + weights["readout_bias"])
    return np.stack(logits, axis=1), hidden


def loss_by_hand(weights, inputs, targets, state=None):
    """The mean negative log-likelihood of the targets, and the state after them."""
    logits, state = by_hand(weights, inputs, state)
    likelihood = np.take_along_axis(softmax(logits), targets[..., None], axis=-1)
    return -np.log(likelihood).mean(), state


def windows_by_hand(ids, batch, steps):
    """Row after row and window after window, as the specification reads."""
    count = (len(ids) - 1) // (batch * steps)
    starts = [[row * count * steps + window * steps for row in range(batch)] for window in range(count)]
    inputs = np.array([[ids[start : start + steps] for start in starts_of_window] for starts_of_window in starts])
    targets = np.array(
        [[ids[start + 1 : start + steps + 1] for start in starts_of_window] for starts_of_window in starts]
    )
    return inputs, targets


def make_weights(rng, size, units, scale=1.0):
    shapes = {
        "kernel": (size, units),
        "recurrent": (units, units),
        "bias": (units,),
        "readout": (units, size),
        "readout_bias": (size,),
    }
    return {name: scale * rng.standard_normal(shape) for name, shape in shapes.items()}


def parts(fw, model):
    """The model's two layers; says what is missing."""
    for name in ("recurrent", "readout"):
        assert hasattr(model, name), f"CharRNN keeps its {name} layer in the attribute self.{name}; there is none"
    return model.recurrent, model.readout


def make_model(impl, fw, weights):
    """A network with these weights."""
    size, units = weights["kernel"].shape
    model = impl.CharRNN(size, units)
    model(fw.array(np.eye(size)[:1, None]))  # a Keras layer makes its weights at the first call
    recurrent, readout = parts(fw, model)
    fw.set_weights(recurrent, {name: weights[name] for name in ("kernel", "recurrent", "bias")})
    fw.set_weights(readout, {"kernel": weights["readout"], "bias": weights["readout_bias"]})
    return model


def weights_of(fw, model):
    """The network's weights in float64, as `by_hand` takes them."""
    recurrent, readout = map(fw.weights, parts(fw, model))
    named = {**recurrent, "readout": readout["kernel"], "readout_bias": readout["bias"]}
    return {name: array.astype("float64") for name, array in named.items()}


def number(value, of):
    assert isinstance(value, float | np.floating), f"{of}: expected a float, got a {type(value).__name__}."
    return float(value)


def pair(result, of):
    assert isinstance(result, tuple | list), f"{of}: expected two values in a tuple, got a {type(result).__name__}."
    assert len(result) == 2, f"{of}: expected two values, got {len(result)}."
    return result


# ---------------------------------------------------------------- level 1


@text_as_numbers
def test_a_vocabulary_holds_each_character_once_in_order(impl, fw):
    vocabulary = impl.Vocabulary("to be, or not\nto be")
    assert vocabulary.characters == "\n ,benort", (
        f"characters should be the distinct ones, sorted: {chr(10) + ' ,benort'!r}, not {vocabulary.characters!r}"
    )
    assert len(vocabulary) == 9, f"9 distinct characters, but len(vocabulary) is {len(vocabulary)}"


@text_as_numbers
@pytest.mark.parametrize("text", ["to be", "b", "", "note: é"], ids=["words", "one", "empty", "accent"])
def test_text_is_encoded_and_decoded(impl, fw, text):
    vocabulary = impl.Vocabulary("to be or not: é")
    ids = vocabulary.encode(text)
    expected = np.array([sorted(set("to be or not: é")).index(character) for character in text], "int64")
    fw.close(ids, expected, of=f"encode({text!r})")
    decoded = vocabulary.decode(fw.array(expected))
    assert decoded == text, f"decode should give {text!r} back, and gave {decoded!r}"


@text_as_numbers
def test_a_character_that_was_never_seen_is_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.Vocabulary("to be").encode("to bee or")


@text_as_numbers
@pytest.mark.parametrize("shape", [(7,), (2, 5), (3, 1, 4), (), (0,)], ids=["text", "rows", "deep", "single", "empty"])
def test_one_hot_rows_have_a_single_one(impl, fw, rng, shape):
    ids = rng.integers(0, 6, shape)
    fw.close(impl.one_hot(fw.array(ids), 6), np.eye(6)[ids], of="one_hot", rtol=0, atol=0)


@text_as_numbers
@pytest.mark.parametrize("ids", [[0, 4], [[1, 2], [9, 0]], [-1, 2]], ids=["size", "far", "negative"])
def test_ids_out_of_range_are_refused(impl, fw, ids):
    with pytest.raises(ValueError):
        impl.one_hot(fw.array(np.array(ids)), 4)


# ---------------------------------------------------------------- level 2


@windows
@pytest.mark.parametrize(
    "length, batch, steps",
    [(13, 2, 3), (12, 2, 3), (40, 3, 4), (9, 1, 8), (30, 7, 1), (2, 1, 1)],
    ids=["exact", "one_short", "rest", "one_row", "one_step", "least"],
)
def test_each_row_is_a_stream_and_targets_are_one_ahead(impl, fw, rng, length, batch, steps):
    ids = rng.integers(0, 100, length)
    inputs, targets = pair(impl.windows(fw.array(ids), batch, steps), of="windows")
    fw.close(inputs, windows_by_hand(ids, batch, steps)[0], of="inputs")
    fw.close(targets, windows_by_hand(ids, batch, steps)[1], of="targets")


@windows
@pytest.mark.parametrize("length, batch, steps", [(6, 2, 3), (0, 1, 1), (1, 1, 1)], ids=["six", "none", "one"])
def test_too_short_a_text_is_refused(impl, fw, rng, length, batch, steps):
    with pytest.raises(ValueError):
        impl.windows(fw.array(rng.integers(0, 9, length)), batch, steps)


# ---------------------------------------------------------------- level 3


@network
@pytest.mark.parametrize(
    "rows, steps, size, units",
    [(2, 5, 4, 6), (1, 1, 3, 2), (3, 7, 1, 1), (4, 2, 9, 3)],
    ids=["usual", "one_character", "tiny", "narrow"],
)
def test_logits_for_every_position(impl, fw, rng, rows, steps, size, units):
    weights, ids = make_weights(rng, size, units), rng.integers(0, size, (rows, steps))
    model = make_model(impl, fw, weights)
    logits, _ = pair(model(fw.array(np.eye(size)[ids])), of="the network")
    fw.close(logits, by_hand(weights, ids)[0], of="logits")


@network
def test_a_fresh_network_has_layers_of_the_right_width(impl, fw, rng):
    """Its own random weights, not ours, go through the formula."""
    model, ids = impl.CharRNN(5, 8), rng.integers(0, 5, (2, 6))
    logits, _ = pair(model(fw.array(np.eye(5)[ids])), of="the network")
    weights = weights_of(fw, model)
    assert weights["recurrent"].shape == (8, 8), f"units=8, but the recurrent weights are {weights['recurrent'].shape}"
    assert np.ptp(weights["kernel"]) > 0.1, "the weights of a new network must be drawn at random"
    fw.close(logits, by_hand(weights, ids)[0], of="logits")


@network
def test_the_state_lets_a_text_be_read_in_pieces(impl, fw, rng):
    weights, ids = make_weights(rng, 4, 6), rng.integers(0, 4, (2, 9))
    model, x = make_model(impl, fw, weights), np.eye(4)[ids]
    expected = by_hand(weights, ids)[0]
    first, state = pair(model(fw.array(x[:, :4])), of="the network")
    second, _ = pair(model(fw.array(x[:, 4:]), state), of="the network")
    fw.close(first, expected[:, :4], of="logits of the first piece")
    fw.close(second, expected[:, 4:], of="logits of the second piece, given the state")


@network
def test_without_a_state_every_call_begins_anew(impl, fw, rng):
    weights, ids = make_weights(rng, 4, 6), rng.integers(0, 4, (2, 5))
    model, x = make_model(impl, fw, weights), fw.array(np.eye(4)[ids])
    model(x)
    fw.close(pair(model(x), of="the network")[0], by_hand(weights, ids)[0], of="logits of the second call")


# ---------------------------------------------------------------- level 4


@perplexity_level
@pytest.mark.parametrize("length", [2, 3, 50])
def test_perplexity_counts_every_prediction_once(impl, fw, rng, length):
    weights, ids = make_weights(rng, 5, 4, scale=0.7), rng.integers(0, 5, length)
    expected = np.exp(loss_by_hand(weights, ids[None, :-1], ids[None, 1:])[0])
    found = number(impl.perplexity(make_model(impl, fw, weights), fw.array(ids)), of="perplexity")
    assert found == pytest.approx(expected, rel=1e-4), f"the perplexity should be {expected:.5f}, yours is {found:.5f}"


@perplexity_level
def test_a_network_that_knows_nothing_hesitates_between_all_characters(impl, fw, rng):
    weights = make_weights(rng, 7, 4)
    weights["readout"], weights["readout_bias"] = np.zeros((4, 7)), np.full(7, 0.3)
    found = number(impl.perplexity(make_model(impl, fw, weights), fw.array(rng.integers(0, 7, 30))), of="perplexity")
    assert found == pytest.approx(7, rel=1e-5), f"with equal logits for 7 characters it is 7, yours is {found:.5f}"


# ---------------------------------------------------------------- level 5


def moved(weights, ids, updates, batch, steps, rate, biases):
    """Weights after so many updates by Adam, each on one window; the gradient by finite differences, in float64.

    PyTorch's recurrent layer has two biases that are added: `biases` of them move alike.
    """
    inputs, targets = windows_by_hand(ids, batch, steps)
    weights, state = {name: array.copy() for name, array in weights.items()}, None
    mean = {name: np.zeros_like(array) for name, array in weights.items()}
    square = {name: np.zeros_like(array) for name, array in weights.items()}
    for update in range(updates):
        window = update % len(inputs)
        state = None if window == 0 else state
        gradient = {}
        for name, array in weights.items():
            gradient[name] = np.zeros_like(array)
            for place in np.ndindex(array.shape):
                ends = []
                for step in (1e-5, -1e-5):
                    nudged = array.copy()
                    nudged[place] += step
                    ends.append(loss_by_hand(weights | {name: nudged}, inputs[window], targets[window], state)[0])
                gradient[name][place] = (ends[0] - ends[1]) / 2e-5
        state = loss_by_hand(weights, inputs[window], targets[window], state)[1]
        for name, slope in gradient.items():
            mean[name] = 0.9 * mean[name] + 0.1 * slope
            square[name] = 0.999 * square[name] + 0.001 * slope**2
            first, second = mean[name] / (1 - 0.9 ** (update + 1)), square[name] / (1 - 0.999 ** (update + 1))
            weights[name] -= (biases if name == "bias" else 1) * rate * first / (np.sqrt(second) + 1e-8)
    return weights


@training
def test_each_update_reads_on_where_the_last_one_ended(impl, fw, rng):
    """With a learning rate of zero the network stays as it is: seven updates over three windows."""
    weights, ids = make_weights(rng, 5, 4), rng.integers(0, 5, 3 * 2 * 4 + 1)
    model = make_model(impl, fw, weights)
    found = impl.train(model, fw.array(ids), updates=7, batch=2, steps=4, learning_rate=0.0)
    inputs, targets = windows_by_hand(ids, 2, 4)
    expected, state = [], None
    for update in range(7):
        state = None if update % 3 == 0 else state
        loss, state = loss_by_hand(weights, inputs[update % 3], targets[update % 3], state)
        expected.append(loss)
    assert isinstance(found, list) and len(found) == 7, (
        f"train returns a list with the loss of each of the 7 updates: {found}"
    )
    for update, (value, loss) in enumerate(zip(found, expected, strict=True)):
        value = number(value, of=f"loss of update {update}")
        assert value == pytest.approx(loss, rel=1e-4), (
            f"update {update} reads window {update % 3}, and its loss should be {loss:.5f}; yours is {value:.5f}. "
            "The state is carried from window to window, and begins anew with the text"
        )


@training
def test_updates_are_those_of_adam_on_one_window_each(impl, fw, rng):
    weights, ids = make_weights(rng, 3, 2, scale=0.5), rng.integers(0, 3, 2 * 2 * 3 + 1)
    model = make_model(impl, fw, weights)
    impl.train(model, fw.array(ids), updates=3, batch=2, steps=3, learning_rate=0.02)
    expected = moved(weights, ids, 3, 2, 3, 0.02, biases=2 if fw.name == "torch" else 1)
    for name, array in weights_of(fw, model).items():
        fw.close(fw.array(array), expected[name], of=f"{name} after three updates", rtol=0, atol=5e-4)


@training
def test_a_window_is_64_by_16_and_the_rate_a_hundredth_unless_told(impl, fw, rng):
    weights, ids = make_weights(rng, 3, 2), rng.integers(0, 3, 64 * 16 + 1)
    model = make_model(impl, fw, weights)
    loss = number(impl.train(model, fw.array(ids), 1)[0], of="loss")
    expected = loss_by_hand(weights, *(part[0] for part in windows_by_hand(ids, 64, 16)))[0]
    assert loss == pytest.approx(expected, rel=1e-4), f"the first loss should be {expected:.5f}, yours is {loss:.5f}"
    step = np.abs(weights_of(fw, model)["readout_bias"] - weights["readout_bias"])
    assert step == pytest.approx(0.01, rel=0.01), (
        f"Adam's first step is the learning rate, 0.01; the biases moved {step}"
    )


@training
def test_it_learns_what_one_character_cannot_tell(impl, fw):
    """In aabaab… an a is followed by a or b: who looks at one character only is left with a perplexity of 1.59."""
    ids = np.array([0, 0, 1] * 80)
    model = impl.CharRNN(2, 8)
    impl.train(model, fw.array(ids), updates=80, batch=4, steps=6, learning_rate=0.02)
    found = np.exp(loss_by_hand(weights_of(fw, model), ids[None, :-1], ids[None, 1:])[0])
    baseline = np.exp(2 / 3 * np.log(2))
    assert found < 1.2 < baseline, (
        f"after 80 updates on aabaab… the perplexity is {found:.2f}; a table of pairs has {baseline:.2f}"
    )


# ---------------------------------------------------------------- level 6


def cycle():
    """A network without memory that goes from a to c to b to a, surely."""
    order = np.array([2, 0, 1])
    weights = {"kernel": 3 * np.eye(3), "recurrent": np.zeros((3, 3)), "bias": np.zeros(3), "readout_bias": np.zeros(3)}
    return weights | {"readout": 20 * np.eye(3)[order]}


@prediction_sampling
@pytest.mark.parametrize("prompt", ["a", "deb", "abcdeabcdea"])
def test_prediction_is_the_distribution_after_the_prompt(impl, fw, rng, prompt):
    weights = make_weights(rng, 5, 6)
    ids = np.array([["abcde".index(character) for character in prompt]])
    found = impl.predict(make_model(impl, fw, weights), impl.Vocabulary("abcde"), prompt)
    fw.close(found, softmax(by_hand(weights, ids)[0][0, -1]), of=f"predict(…, {prompt!r})")


@prediction_sampling
@pytest.mark.parametrize("temperature", [0, 2e-38, 1e-3, 1.0], ids=["zero", "coldest", "cold", "one"])
def test_each_character_drawn_is_fed_back(impl, fw, temperature):
    model, vocabulary = make_model(impl, fw, cycle()), impl.Vocabulary("abc")
    text = impl.sample(model, vocabulary, "ca", 7, temperature=temperature)
    assert text == "cbacbac", (
        f"a network that surely goes from a to c to b to a goes on from 'ca' with 'cbacbac'; yours wrote {text!r}"
    )


@prediction_sampling
@pytest.mark.parametrize("prompt", ["b", "abdc"])
def test_at_temperature_zero_the_likeliest_character_follows(impl, fw, rng, prompt):
    weights = make_weights(rng, 4, 8, scale=1.5)
    ids = ["abcd".index(character) for character in prompt]
    for _ in range(12):
        ids.append(int(by_hand(weights, np.array([ids]))[0][0, -1].argmax()))
    expected = "".join("abcd"[number] for number in ids[len(prompt) :])
    text = impl.sample(make_model(impl, fw, weights), impl.Vocabulary("abcd"), prompt, 12, temperature=0)
    assert text == expected, f"after {prompt!r} the likeliest characters are {expected!r}, yours {text!r}"


@pytest.mark.timeout(120)  # a few seconds, on a machine with nothing else to do
@prediction_sampling
@pytest.mark.parametrize("temperature, logits", [(None, [0, 2, 4]), (4.0, [0, 3, 6])], ids=["default", "hot"])
def test_characters_come_as_often_as_the_softened_distribution_says(impl, fw, temperature, logits):
    """A network whose logits are the same, whatever it reads."""
    weights = {name: 0 * array for name, array in cycle().items()} | {"readout_bias": np.array(logits, "float64")}
    given = {} if temperature is None else {"temperature": temperature}
    model, vocabulary = make_model(impl, fw, weights), impl.Vocabulary("abc")
    text = "".join(impl.sample(model, vocabulary, "a", 20, **given) for _ in range(10))
    assert len(text) == 200, f"length=20, but {len(text) / 10:g} characters came (the prompt is not repeated)"
    for character, share in zip("abc", softmax(np.array(logits) / (temperature or 1)), strict=True):
        found, tolerance = text.count(character) / 200, 4.2 * np.sqrt(share * (1 - share) / 200)
        assert abs(found - share) < tolerance, (
            f"with the logits {logits} at temperature {temperature or 1} {character!r} should be {share:.0%} of the "
            f"text, and is {found:.0%}"
        )


@prediction_sampling
def test_no_character_may_be_asked_for(impl, fw):
    text = impl.sample(make_model(impl, fw, cycle()), impl.Vocabulary("abc"), "ab", 0)
    assert text == "", f"length=0 asks for no character, and {text!r} came"


@prediction_sampling
def test_an_empty_prompt_and_a_negative_temperature_are_refused(impl, fw):
    model, vocabulary = make_model(impl, fw, cycle()), impl.Vocabulary("abc")
    with pytest.raises(ValueError):
        impl.predict(model, vocabulary, "")
    with pytest.raises(ValueError):
        impl.sample(model, vocabulary, "", 3)
    with pytest.raises(ValueError):
        impl.sample(model, vocabulary, "a", 3, temperature=-0.5)


# ---------------------------------------------------------------- level 7


@one_step_character
def test_sampling_does_not_read_the_text_again(impl, fw):
    model, vocabulary = make_model(impl, fw, cycle()), impl.Vocabulary("abc")
    impl.sample(model, vocabulary, "ab", 2)
    few, more, most = (fw.count_ops(impl.sample, model, vocabulary, "ab", length) for length in (5, 10, 15))
    assert most - more <= 1.1 * (more - few), (
        f"5, 10 and 15 characters took {few}, {more} and {most} operations: each must cost the same, "
        "so carry the state and read one character at a time"
    )


# ---------------------------------------------------------------- level 8


def english():
    """200,000 letters of the Python documentation to learn from, and the 8,000 after them."""
    from pydoc_data.topics import topics

    text = re.sub("[^a-z]+", " ", " ".join(topics[name] for name in sorted(topics)).lower())
    return text[:200_000], text[200_000:208_000]


def pair_table(ids, size):
    """How likely each character is after each other one, with a tenth of a count for pairs never seen."""
    counts = np.full((size, size), 0.1)
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def sixes(text):
    """Every stretch of six characters."""
    return [text[start : start + 6] for start in range(len(text) - 5)]


_trained = {}  # an implementation to its trained network: two tests look at one


@pytest.fixture
def trained(impl, fw):
    """The alphabet, its vocabulary, and a network after 300 updates on English."""
    if impl not in _trained:
        text = english()[0]
        alphabet, vocabulary = "".join(sorted(set(text))), impl.Vocabulary(text)
        ids = fw.array(np.array([alphabet.index(character) for character in text]))
        model = impl.CharRNN(len(alphabet), 128)
        impl.train(model, ids, updates=300, batch=64, steps=16, learning_rate=0.01)
        _trained[impl] = alphabet, vocabulary, model
    return _trained[impl]


@pytest.mark.timeout(120)  # a few seconds, on a machine with nothing else to do
@english_level
def test_unseen_english_surprises_it_less_than_a_table_of_pairs(impl, fw, trained):
    """Over ten seeds the perplexity is 6.01 to 6.12 in PyTorch; a table of pairs has 10.35."""
    alphabet, _, model = trained
    seen, unseen = (np.array([alphabet.index(character) for character in text]) for text in english())
    perplexity = np.exp(loss_by_hand(weights_of(fw, model), unseen[None, :-1], unseen[None, 1:])[0])
    table = pair_table(seen, len(alphabet))
    of_pairs = np.exp(-np.mean([np.log(table[this, following]) for this, following in pairwise(unseen)]))
    assert of_pairs < 0.5 * len(alphabet), "a table of pairs should know half of it"
    assert perplexity < 0.75 * of_pairs, (
        f"on text that it never saw the network's perplexity is {perplexity:.2f}; a table of pairs of characters has "
        f"{of_pairs:.2f}, and a network that remembers should stay below {0.75 * of_pairs:.2f}"
    )


@pytest.mark.timeout(120)  # a few seconds, on a machine with nothing else to do
@english_level
def test_sampled_text_is_made_of_english(impl, fw, rng, trained):
    """Six characters in a row occur in the training text; against text from the table of pairs, drawn as cold.

    Over ten seeds the share is 0.67 to 0.78 in PyTorch.
    """
    alphabet, vocabulary, model = trained
    seen = english()[0]
    known = set(sixes(seen))
    table = pair_table(np.array([alphabet.index(character) for character in seen]), len(alphabet)) ** (1 / TEMPERATURE)
    chain = [0]
    for _ in range(2000):
        chain.append(rng.choice(len(alphabet), p=table[chain[-1]] / table[chain[-1]].sum()))
    of_pairs = np.mean([stretch in known for stretch in sixes("".join(alphabet[number] for number in chain))])
    text = impl.sample(model, vocabulary, "the ", 500, temperature=TEMPERATURE)  # in 200 chance plays a part
    share = np.mean([stretch in known for stretch in sixes(text)])
    assert of_pairs < 0.3, f"a table of pairs should not write English, but {of_pairs:.0%} of its stretches occur in it"
    assert share > 0.4, (
        f"{share:.0%} of the sampled stretches of six characters occur in the training text, and {of_pairs:.0%} of "
        f"those from a table of pairs; a network that remembers writes better. Yours: {text[:80]!r}"
    )


@pytest.mark.gpu
@network
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    ids = rng.integers(0, 5, (2, 6))
    x = impl.one_hot(gpu.array(ids), 5)
    gpu.check_device(x, of="one_hot")
    gpu.close(x, np.eye(5)[ids], of="one_hot")
    model = impl.CharRNN(5, 8)
    if gpu.name == "torch":
        model.to(gpu.device)
    logits, _ = pair(model(x), of="the network")
    gpu.check_device(logits, of="logits")
    gpu.close(logits, by_hand(weights_of(gpu, model), ids)[0], of="logits")
