"""Levels of the whole Transformer kata.

Every expected value comes from `logits_by_hand`, in float64 NumPy, on the weights that the model under test was given.
The little language of the last level has six words; in the other language the last word of a sentence comes first.
"""

from functools import cache, reduce
from inspect import signature
from itertools import combinations

import numpy as np
import pytest

from dojo import level

shift_mask_loss = level(1, "shift, mask and loss")
attention_level = level(2, "attention")
no_future = level(3, "no future", points=2)
model_level = level(4, "the model", points=3)
translation = level(5, "translation", points=2)
learns = level(6, "learns", points=3)

PAD, BOS, EOS = 0, 1, 2
PROJECTIONS = ("query", "key", "value", "mix")
# Keras takes a while to build layers of layers and to trace their gradients; on a busy machine that is minutes.
pytestmark = pytest.mark.timeout(240)

SIZES = {"vocabulary": 11, "width": 8, "heads": 2, "hidden": 12}


# ---------------------------------------------------------------- the formulas


def dense(weights, name, x):
    return x @ weights[name]["kernel"] + weights[name]["bias"]


def normed(weights, name, x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5) * weights[name]["scale"] + weights[name]["shift"]


def attended(weights, name, x, memory, mask, heads):
    """Head after head; the mask is (B, T, S)."""
    q = dense(weights, f"{name}.query", x)
    k, v = (dense(weights, f"{name}.{part}", memory) for part in ("key", "value"))
    width, found = x.shape[-1] // heads, []
    for columns in (slice(head * width, (head + 1) * width) for head in range(heads)):
        scores = np.where(mask, q[..., columns] @ k[..., columns].swapaxes(1, 2) / np.sqrt(width), -np.inf)
        looks = np.exp(scores - scores.max(axis=-1, keepdims=True))
        found.append(looks / looks.sum(axis=-1, keepdims=True) @ v[..., columns])
    return dense(weights, f"{name}.mix", np.concatenate(found, axis=-1))


def waves_by_hand(length, width):
    angles = [[p / 10_000 ** (c // 2 * 2 / width) for c in range(width)] for p in range(length)]
    return np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles))


def logits_by_hand(weights, source, target, heads=2):
    layers = sum(name.startswith("encoder.") and name.endswith(".expand") for name in weights)
    table = weights["embedding"]["table"]
    x, y = (np.sqrt(table.shape[1]) * table[ids] + waves_by_hand(*table[ids].shape[1:]) for ids in (source, target))
    words = (source != PAD)[:, None]
    past = np.tril(np.ones((target.shape[1], target.shape[1]), bool))

    def fed(name, norm, x):
        hidden = np.maximum(dense(weights, f"{name}.expand", normed(weights, f"{name}.{norm}", x)), 0)
        return dense(weights, f"{name}.contract", hidden)

    for name in (f"encoder.{index}" for index in range(layers)):
        h = normed(weights, f"{name}.norm1", x)
        x = x + attended(weights, f"{name}.attention", h, h, words, heads)
        x = x + fed(name, "norm2", x)
    memory = normed(weights, "encoder_norm", x)
    for name in (f"decoder.{index}" for index in range(layers)):
        h = normed(weights, f"{name}.norm1", y)
        y = y + attended(weights, f"{name}.attention", h, h, past, heads)
        y = y + attended(weights, f"{name}.cross", normed(weights, f"{name}.norm2", y), memory, words, heads)
        y = y + fed(name, "norm3", y)
    return normed(weights, "decoder_norm", y) @ table.T


def shifted_by_hand(target):
    return np.array([[BOS, *row[:-1]] for row in target.tolist()])


def loss_by_hand(logits, target):
    """Word after word."""
    found = []
    for row, wanted in zip(logits.reshape(-1, logits.shape[-1]), target.ravel(), strict=True):
        if wanted != PAD:
            found.append(np.log(np.sum(np.exp(row - row.max()))) - (row[wanted] - row.max()))
    return np.mean(found)


def translated_by_hand(weights, source, longest):
    read = np.full((len(source), 1), BOS)
    for _ in range(longest):
        chosen = logits_by_hand(weights, source, read)[:, -1].argmax(axis=-1)
        ended = (read == EOS).any(axis=1)
        read = np.concatenate([read, np.where(ended, PAD, chosen)[:, None]], axis=1)
    return read[:, 1:]


# ---------------------------------------------------------------- models to test


def names_of_layers(layers):
    """The path of every layer that has weights."""
    names = ["embedding", "encoder_norm", "decoder_norm"]
    for index in range(layers):
        names += [f"encoder.{index}.{part}" for part in ("expand", "contract", "norm1", "norm2")]
        names += [f"decoder.{index}.{part}" for part in ("expand", "contract", "norm1", "norm2", "norm3")]
        for attention in (f"encoder.{index}.attention", f"decoder.{index}.attention", f"decoder.{index}.cross"):
            names += [f"{attention}.{part}" for part in PROJECTIONS]
    return names


def layer_at(model, name):
    return reduce(lambda at, part: at[int(part)] if part.isdigit() else getattr(at, part), name.split("."), model)


def drawn(fw, rng, layer):
    """Random weights for a layer, in the shapes that it has."""
    weights = {}
    for part, old in fw.weights(layer).items():
        size = {"kernel": len(old) ** -0.5, "table": old.shape[-1] ** -0.5}.get(part, 0.3)
        weights[part] = (part == "scale") + size * rng.standard_normal(old.shape)
    return weights


@cache
def kept(impl, fw, layers):
    """A model, called once, for Keras makes weights only then; it takes a while."""
    model = impl.Transformer(**SIZES, layers=layers)
    ids = fw.array(np.full((1, 2), 3))
    model.decode(ids, model.encode(ids), ids)
    return model


def made(impl, fw, rng, layers=1, until=lambda weights: True):
    """A model of the learner's with random numbers in every weight, and those weights; drawn until they will do."""
    model = kept(impl, fw, layers)
    parts = {name: layer_at(model, name) for name in names_of_layers(layers)}
    while not until(weights := {name: drawn(fw, rng, part) for name, part in parts.items()}):
        pass
    for name, arrays in weights.items():
        fw.set_weights(parts[name], arrays)
    return model, weights


def sentences(rng, rows=4, length=5):
    """Random words, and PAD at the end of all rows but the first."""
    ids = rng.integers(3, SIZES["vocabulary"], (rows, length))
    ends = rng.integers(1, length + 1, rows)
    ends[0] = length
    return np.where(np.arange(length) < ends[:, None], ids, PAD)


def with_end(ids):
    """The same sentences with an EOS after the last word."""
    ids = np.pad(ids, ((0, 0), (0, 1)))
    ids[np.arange(len(ids)), (ids != PAD).sum(axis=1)] = EOS
    return ids


# ---------------------------------------------------------------- level 1


@shift_mask_loss
@pytest.mark.parametrize("length", [5, 2, 1])
def test_the_decoder_reads_one_place_behind(impl, fw, rng, length):
    target = with_end(sentences(rng, length=length))[:, :length]
    given = fw.array(target)
    fw.close(impl.shift_right(given), shifted_by_hand(target), of="shift_right")
    fw.check_unchanged(given, target, of="target")


@shift_mask_loss
@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_position_looks_at_itself_and_the_past(impl, fw, length):
    expected = np.array([[column <= row for column in range(length)] for row in range(length)])
    fw.close(impl.causal_mask(length), expected, of=f"causal_mask({length})")


@shift_mask_loss
@pytest.mark.parametrize("scale", [1, 3000], ids=["usual", "thousands"])
def test_the_loss_is_a_mean_over_words(impl, fw, rng, scale):
    target = with_end(sentences(rng))
    logits = scale * rng.standard_normal((4, 6, 11))
    found = impl.translation_loss(fw.array(logits), fw.array(target))
    fw.close(found, loss_by_hand(logits, target), of="translation_loss")


@shift_mask_loss
@pytest.mark.parametrize("length, width", [(7, 6), (100, 4), (1, 2)])
def test_waves_tell_the_position(impl, fw, length, width):
    fw.close(impl.waves(length, width), waves_by_hand(length, width), of="waves", atol=2e-5)


# ---------------------------------------------------------------- level 2


@attention_level
@pytest.mark.parametrize("kind", ["self", "cross", "tiny"])
def test_x_looks_at_the_memory(impl, fw, rng, kind):
    """Two sequences and two heads: an axis in the wrong place can broadcast unseen."""
    batch, length, size, width, heads = {"self": (2, 4, 4, 6, 2), "cross": (2, 3, 5, 8, 2), "tiny": (1, 1, 1, 2, 1)}[
        kind
    ]
    x = rng.standard_normal((batch, length, width))
    memory = x if kind == "self" else rng.standard_normal((batch, size, width))
    mask = rng.random((batch, length, size)) < 0.6
    mask[..., 0] = True
    attention = impl.Attention(width, heads)
    tensors = fw.array(x), fw.array(memory), fw.array(mask[:, None])
    attention(*tensors)
    weights = {f"it.{part}": drawn(fw, rng, getattr(attention, part)) for part in PROJECTIONS}
    for part in PROJECTIONS:
        fw.set_weights(getattr(attention, part), weights[f"it.{part}"])
    fw.close(fw.call(attention, *tensors), attended(weights, "it", x, memory, mask, heads), of="Attention")


@attention_level
def test_what_is_masked_stays_hidden_however_low_the_scores(impl, fw, rng):
    """The biases of query and key make every score -180,000: x takes the average of all that it may look at."""
    x, memory = rng.standard_normal((2, 3, 8)), rng.standard_normal((2, 4, 8))
    mask = np.array([[True, True, True, False], [True, False, False, True]])[:, None]
    attention = impl.Attention(8, 2)
    tensors = fw.array(x), fw.array(memory), fw.array(mask[:, None])
    attention(*tensors)
    weights = {f"it.{part}": drawn(fw, rng, getattr(attention, part)) for part in PROJECTIONS}
    for part, bias in (("query", 300.0), ("key", -300.0)):
        weights[f"it.{part}"] = {"kernel": np.zeros((8, 8)), "bias": np.full(8, bias)}
    for part in PROJECTIONS:
        fw.set_weights(getattr(attention, part), weights[f"it.{part}"])
    fw.close(fw.call(attention, *tensors), attended(weights, "it", x, memory, mask, 2), of="Attention")


@attention_level
def test_heads_must_divide_the_width(impl):
    with pytest.raises(ValueError):
        impl.Attention(8, 3)


# ---------------------------------------------------------------- level 3


@no_future
@pytest.mark.parametrize("place", [1, 2, 3, 4, 5])
def test_later_words_change_nothing_before(impl, fw, rng, place):
    """All words from a place on are exchanged: not one logit before may move, and those at the place must."""
    model, _ = made(impl, fw, rng)
    source, target = sentences(rng), shifted_by_hand(rng.integers(3, 11, (4, 6)))
    other = target.copy()
    other[:, place:] = 3 + (other[:, place:] - 3 + rng.integers(1, 8, other[:, place:].shape)) % 8
    before, after = (fw.numpy(fw.call(model, fw.array(source), fw.array(ids))) for ids in (target, other))
    moved = np.abs(before - after).max(axis=(0, 2))
    leaks = [index for index in range(place) if moved[index] > 1e-5]
    assert not leaks, (
        f"the words from place {place} on were exchanged, and the logits at the places {leaks} before it moved, by up "
        f"to {moved[:place].max():.3g}: the decoder sees the future"
    )
    assert moved[place] > 1e-3, f"the word at place {place} was exchanged, and the logits there did not move"


@no_future
def test_every_place_sees_the_whole_source(impl, fw, rng):
    """The encoder has no causal mask: a change of the last word of the source reaches the first place of the target."""
    model, _ = made(impl, fw, rng)
    source, target = rng.integers(3, 11, (4, 5)), shifted_by_hand(rng.integers(3, 11, (4, 6)))
    other = source.copy()
    other[:, -1] = 3 + (other[:, -1] - 3 + 4) % 8
    before, after = (fw.numpy(fw.call(model, fw.array(ids), fw.array(target))) for ids in (source, other))
    moved = np.abs(before - after).max(axis=(0, 2))
    assert moved.min() > 1e-4, (
        f"the last word of the source was exchanged; the logits moved, place by place, by {moved}"
    )
    first, second = (fw.numpy(model.encode(fw.array(ids)))[:, 0] for ids in (source, other))
    assert np.abs(first - second).max() > 1e-4, "the first word of the source does not see the last one"


# ---------------------------------------------------------------- level 4


@model_level
@pytest.mark.parametrize("rows, length", [(4, 5), (1, 1), (3, 9)], ids=["usual", "single", "long"])
def test_logits_after_every_word(impl, fw, rng, rows, length):
    model, weights = made(impl, fw, rng)
    source, target = sentences(rng, rows, length), shifted_by_hand(with_end(sentences(rng, rows, length + 1)))
    logits = fw.call(model, fw.array(source), fw.array(target))
    expected, words = logits_by_hand(weights, source, target), target != PAD
    fw.check_shape(logits, expected.shape, of="logits")
    fw.close(fw.array(fw.numpy(logits)[words]), expected[words], of="logits where the target is no PAD", atol=1e-4)


@model_level
def test_more_padding_changes_nothing(impl, fw, rng):
    model, _ = made(impl, fw, rng)
    source, target = sentences(rng), shifted_by_hand(rng.integers(3, 11, (4, 6)))
    padded = np.pad(source, ((0, 0), (0, 3)))
    found = fw.call(model, fw.array(padded), fw.array(target))
    expected = fw.numpy(fw.call(model, fw.array(source), fw.array(target)))
    fw.close(found, expected, of="logits with three more PADs at the end of the source", atol=1e-5)


@model_level
@pytest.mark.parametrize("layers", [1, 2])
def test_encoding_and_decoding_are_the_whole(impl, fw, rng, layers):
    model, weights = made(impl, fw, rng, layers)
    source, target = sentences(rng), shifted_by_hand(rng.integers(3, 11, (4, 3)))
    memory = model.encode(fw.array(source))
    fw.check_shape(memory, (*source.shape, SIZES["width"]), of="encode")
    found = model.decode(fw.array(target), memory, fw.array(source))
    fw.close(found, logits_by_hand(weights, source, target), of="decode", atol=1e-4)


@model_level
def test_one_table_is_all_that_embedding_and_logits_have(impl, fw, rng):
    model, weights = made(impl, fw, rng)
    expected = sum(array.size for arrays in weights.values() for array in arrays.values())
    found = {name: int(np.prod(tensor.shape)) for name, tensor in fw.parameters(model).items()}
    surplus = [name for name, size in found.items() if size == SIZES["vocabulary"] * SIZES["width"]]
    assert sum(found.values()) == expected, (
        f"the model has {sum(found.values())} trainable numbers, and its layers have {expected}. "
        f"As large as the embedding: {surplus}"
    )
    for name, shape in {"encoder.0.expand": (8, 12), "decoder.0.contract": (12, 8), "embedding": (11, 8)}.items():
        size = next(iter(weights[name].values())).shape
        assert size == shape, f"{name} should have the shape {shape} with {SIZES}, and has {size}"


@model_level
def test_a_fresh_embedding_gives_tokens_of_size_one(impl, fw):
    model = impl.Transformer(vocabulary=400, width=8, heads=2, hidden=4)
    model.embedding(fw.array(np.zeros((1, 1), int)))  # Keras makes the table only now
    table, expected = fw.weights(model.embedding)["table"], 8**-0.5
    assert abs(table.std() / expected - 1) < 0.08 and abs(table.mean()) < 0.03, (
        f"with a width of 8 its mean should be 0 and its standard deviation {expected:.3f}; they are "
        f"{table.mean():.3f} and {table.std():.3f}"
    )
    tails = np.mean(np.abs(table) > 2 * expected)
    assert 0.03 < tails < 0.065, (
        f"of a normal distribution 4.6 % lie beyond two deviations, here {tails:.1%}: do not draw it from another"
    )


# ---------------------------------------------------------------- level 5


@translation
@pytest.mark.parametrize("longest", [1, 4, 6])
def test_the_likeliest_word_is_written_and_read(impl, fw, rng, longest):
    """With weights that let some of the sentences end on the way, and others not."""
    source = sentences(rng, rows=8)

    def some_end(weights):
        return longest == 1 or 2 <= (translated_by_hand(weights, source, longest)[:, -1] == PAD).sum() <= 6

    model, weights = made(impl, fw, rng, until=some_end)
    found = impl.translate(model, fw.array(source), longest)
    fw.close(found, translated_by_hand(weights, source, longest), of=f"translate with longest={longest}")


# ---------------------------------------------------------------- level 6


def language(rng, count):
    """Sentences of two to five of the words 3 to 8; their translations, of 9 to 14, begin with the last one's."""
    source, target = np.zeros((2, count, 6), int)
    for row in range(count):
        words = rng.integers(0, 6, rng.integers(2, 6))
        source[row, : len(words) + 1] = [*(3 + words), EOS]
        target[row, : len(words) + 1] = [*(9 + np.roll(words, 1)), EOS]
    return source, target


@learns
def test_updates_are_adams_on_the_shifted_target(impl, fw, rng):
    """Three of six pairs are drawn: the loss must be that of some three. The second rate is half of the first."""
    model, weights = made(impl, fw, rng)
    source, target = sentences(rng, 6), with_end(sentences(rng, 6))
    losses = impl.train(model, fw.array(source), fw.array(target), updates=2, batch=3, learning_rate=0.01)
    assert isinstance(losses, list) and [type(loss) for loss in losses] == [float, float], (
        f"train returns a list with the loss of each update, a Python float; after two updates: {losses!r}"
    )
    logits = logits_by_hand(weights, source, shifted_by_hand(target))
    threes = [list(three) for three in combinations(range(6), 3)]
    expected = [loss_by_hand(logits[three], target[three]) for three in threes]
    assert np.abs(np.array(expected) - losses[0]).min() < 1e-3, (
        f"with batch=3 and six pairs, the loss of the first update is one of {np.round(expected, 3).tolist()}, by what "
        f"was drawn; yours is {losses[0]:.4f}. Does the decoder read the target shifted to the right?"
    )
    moved = [("decoder_norm", "shift"), ("encoder_norm", "scale")]
    steps = np.abs([fw.weights(layer_at(model, name))[part] - weights[name][part] for name, part in moved])
    assert steps.min() > 0.0049 and 0.013 < steps.max() < 0.0151, (
        "Adam's first step is the learning rate, 0.01, and the second at most as large as its own, 0.005: every number "
        f"of the two norms should have moved by 0.005 to 0.015. They moved by {steps.min():.4f} to {steps.max():.4f}"
    )
    unmoved = [
        f"{name}, its {part}"
        for name, parts in weights.items()
        for part, array in parts.items()
        if not (name.endswith(".key") and part == "bias")  # it moves all scores of a query alike: it has no gradient
        and np.allclose(fw.weights(layer_at(model, name))[part], array, rtol=0, atol=1e-5)
    ]
    assert not unmoved, f"two updates did not move these weights: {unmoved}"


@learns
def test_a_batch_takes_every_pair_once_if_there_are_no_more(impl, fw, rng):
    model, weights = made(impl, fw, rng)
    source, target = sentences(rng, 3), with_end(sentences(rng, 3))
    (loss,) = impl.train(model, fw.array(source), fw.array(target), updates=1)
    expected = loss_by_hand(logits_by_hand(weights, source, shifted_by_hand(target)), target)
    assert abs(loss - expected) < 1e-3, (
        f"with three pairs and batch=64 an update takes each of the three once: its loss is {expected:.4f}, and yours "
        f"is {loss:.4f}"
    )


@learns
def test_the_sizes_are_those_of_the_specification_unless_told(impl):
    for function, expected in (
        (impl.Transformer.__init__, {"width": 32, "heads": 4, "hidden": 64, "layers": 1}),
        (impl.train, {"batch": 64, "learning_rate": 8e-3}),
    ):
        parameters = signature(function).parameters
        found = {name: getattr(parameters.get(name), "default", "missing") for name in expected}
        assert found == expected, f"the defaults should be {expected}, and are {found}"


@learns
def test_it_translates_sentences_that_it_has_never_seen(impl, fw, rng):
    """300 updates. Measured in both frameworks over ten seeds: 100 % each time, and 0 to 1 % by the baseline.

    The baseline knows all words and translates them in the order of the source: right where all words are the same.
    """
    (source, target), (unseen, wanted) = language(rng, 2000), language(rng, 1000)
    seen = {tuple(row) for row in source.tolist()}
    new = [index for index, row in enumerate(unseen.tolist()) if tuple(row) not in seen][:200]
    unseen, wanted = unseen[new], wanted[new]
    model = impl.Transformer(15, heads=2)
    losses = impl.train(model, fw.array(source), fw.array(target), updates=300)
    found = fw.numpy(impl.translate(model, fw.array(unseen), 6))
    exact = np.mean((found == wanted).all(axis=1))
    baseline = np.mean((np.where(unseen > EOS, unseen + 6, unseen) == wanted).all(axis=1))
    assert baseline < 0.95 <= exact, (
        f"{exact:.1%} of {len(wanted)} new sentences are translated without a fault; 95 % are asked for, and word for "
        f"word makes {baseline:.1%}. The loss of the last updates is {np.mean(losses[-10:]):.3f}"
    )
