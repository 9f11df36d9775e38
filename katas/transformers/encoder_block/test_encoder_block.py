"""Levels of the encoder block kata.

Every expected value comes from `by_hand`, in float64 NumPy, or is put together from the framework's official layers
with the same weights.
"""

from functools import cache

import numpy as np
import pytest

from dojo import level

post_norm = level(1, "post-norm", points=2)
pre_norm = level(2, "pre-norm", points=2)
padding = level(3, "padding", points=2)
dropout = level(4, "dropout", points=2)
official_layer = level(5, "the official layer")
gradients = level(6, "gradients", points=2)

DENSE = ("query", "key", "value", "mix", "expand", "contract")
NORMS = ("norm1", "norm2")
PLACES = ("drop_weights", "drop_attended", "drop_hidden", "drop_fed")
CERTAIN = 1 - 1e-7  # a rate at which everything is dropped; no framework's layer takes all of 1

# Batch, time, width, heads, hidden
CASES = {"usual": (2, 5, 8, 2, 12), "odd": (3, 7, 9, 3, 5), "one_head": (1, 4, 6, 1, 24), "tiny": (1, 1, 2, 2, 1)}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
both_kinds = pytest.mark.parametrize("norm_first", [False, True], ids=["post", "pre"])


def normed(weights, name, x, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(x.var(axis=-1, keepdims=True) + eps) * weights[name]["scale"] + weights[name]["shift"]


def dense(weights, name, x):
    return x @ weights[name]["kernel"] + weights[name]["bias"]


def attended(weights, x, heads, mask, kept):
    """Head after head; `kept` is 0 for the place where everything is dropped."""
    q, k, v = (dense(weights, name, x) for name in ("query", "key", "value"))
    width = x.shape[-1] // heads
    found = []
    for columns in (slice(head * width, (head + 1) * width) for head in range(heads)):
        scores = q[..., columns] @ k[..., columns].swapaxes(-1, -2) / np.sqrt(width)
        scores = np.where(mask[:, None], scores, -1e30)
        look = np.exp(scores - scores.max(axis=-1, keepdims=True)) * mask[:, None]
        look /= np.maximum(look.sum(axis=-1, keepdims=True), 1e-30)
        found.append(kept["drop_weights"] * look @ v[..., columns])
    return kept["drop_attended"] * dense(weights, "mix", np.concatenate(found, axis=-1))


def fed(weights, x, kept):
    hidden = kept["drop_hidden"] * np.maximum(dense(weights, "expand", x), 0)
    return kept["drop_fed"] * dense(weights, "contract", hidden)


def by_hand(weights, x, heads, norm_first=False, mask=None, eps=1e-5, dropped=None):
    """The block as its formulas read; `dropped` is the place where everything is dropped."""
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    kept = {place: 0 if place == dropped else 1 for place in PLACES}
    if norm_first:
        x = x + attended(weights, normed(weights, "norm1", x, eps), heads, mask, kept)
        return x + fed(weights, normed(weights, "norm2", x, eps), kept)
    x = normed(weights, "norm1", x + attended(weights, x, heads, mask, kept), eps)
    return normed(weights, "norm2", x + fed(weights, x, kept), eps)


def official_block(fw, weights, x, heads, norm_first, mask):
    """PyTorch has the block as a whole."""
    import torch

    layer = torch.nn.TransformerEncoderLayer(
        x.shape[-1], heads, weights["expand"]["bias"].size, dropout=0, batch_first=True, norm_first=norm_first
    )
    inputs = [weights[name] for name in ("query", "key", "value")]
    state = {
        "self_attn.in_proj_weight": np.concatenate([part["kernel"].T for part in inputs]),
        "self_attn.in_proj_bias": np.concatenate([part["bias"] for part in inputs]),
    }
    for theirs, ours in (("self_attn.out_proj", "mix"), ("linear1", "expand"), ("linear2", "contract")):
        state |= {f"{theirs}.weight": weights[ours]["kernel"].T, f"{theirs}.bias": weights[ours]["bias"]}
    for name in NORMS:
        state |= {f"{name}.weight": weights[name]["scale"], f"{name}.bias": weights[name]["shift"]}
    layer.load_state_dict({name: fw.array(array) for name, array in state.items()})
    return layer(fw.array(x), src_key_padding_mask=~fw.array(mask))


def official_layers(fw, weights, x, heads, norm_first, mask):
    """In Keras the block is put together of four kinds of layers."""
    import keras

    width = x.shape[-1]
    attention = keras.layers.MultiHeadAttention(heads, width // heads)
    layers = {name: keras.layers.LayerNormalization(epsilon=1e-5) for name in NORMS}
    layers["expand"] = keras.layers.Dense(weights["expand"]["bias"].size, "relu")
    layers["contract"] = keras.layers.Dense(width)
    x, visible = fw.array(x), fw.array(np.broadcast_to(mask[:, None], (*mask.shape, mask.shape[1])))
    attention(x, x)
    arrays = [weights[name][part] for name in ("query", "key", "value", "mix") for part in ("kernel", "bias")]
    attention.set_weights([a.reshape(old.shape) for a, old in zip(arrays, attention.get_weights(), strict=True)])
    for name, layer in layers.items():
        layer.build((None, None, weights["contract"]["kernel"].shape[0] if name == "contract" else width))
        fw.set_weights(layer, weights[name])

    def attend(h):
        return attention(h, h, attention_mask=visible)

    def feed(h):
        return layers["contract"](layers["expand"](h))

    if norm_first:
        x = x + attend(layers["norm1"](x))
        return x + feed(layers["norm2"](x))
    x = layers["norm1"](x + attend(x))
    return layers["norm2"](x + feed(x))


def official(fw, *arguments):
    return {"torch": official_block, "tensorflow": official_layers}[fw.name](fw, *arguments)


@cache
def kept(impl, fw, sizes, **given):
    """A block, called once: Keras makes the weights of its layers only then. It takes a while, so they are kept."""
    block = impl.EncoderBlock(*sizes, **given)
    fw.call(block, fw.array(np.zeros((1, 2, sizes[0]))))
    return block


def made(impl, fw, rng, case, **given):
    """A block of the learner's with random numbers in every weight, and those weights."""
    width, _, hidden = case[2:]
    block = kept(impl, fw, case[2:], **given)
    set_rates(block, **dict.fromkeys(PLACES, 0.1))
    shapes = dict.fromkeys(DENSE[:4], (width, width)) | {"expand": (width, hidden), "contract": (hidden, width)}
    weights = {}
    for name, shape in shapes.items():
        bias = 0.5 * rng.standard_normal(shape[1])
        weights[name] = {"kernel": rng.standard_normal(shape) / np.sqrt(shape[0]), "bias": bias}
    for name in NORMS:
        weights[name] = {"scale": 1 + 0.3 * rng.standard_normal(width), "shift": 0.5 * rng.standard_normal(width)}
    for name, arrays in weights.items():
        layer = getattr(block, name, None)
        assert layer is not None, f"the block has no layer {name!r}"
        found = {part: array.shape for part, array in fw.weights(layer).items()}
        expected = {part: array.shape for part, array in arrays.items()}
        assert found == expected, f"the layer {name!r} should have weights of the shapes {expected}, and has {found}"
        fw.set_weights(layer, arrays)
    return block, weights


def tokens(rng, case):
    """Tokens that are not normalised already."""
    return 0.5 + 2 * rng.standard_normal(case[:3])


def rate_name(layer):
    """What the framework calls the rate of its dropout layers."""
    return "rate" if hasattr(layer, "rate") else "p"


def set_rates(block, **rates):
    """The rate of each place; 0 where nothing is said."""
    for place in PLACES:
        layer = getattr(block, place)
        setattr(layer, rate_name(layer), rates.get(place, 0.0))


@post_norm
@every_case
def test_each_branch_is_added_and_then_normalised(impl, fw, rng, case):
    block, weights = made(impl, fw, rng, case)
    x = tokens(rng, case)
    given = fw.array(x)
    fw.close(fw.call(block, given), by_hand(weights, x, case[3]), of="the block")
    fw.check_unchanged(given, x, of="x")


@post_norm
@pytest.mark.parametrize("eps", [None, 0.5], ids=["unless_told", "half"])
def test_both_norms_have_the_epsilon_that_is_asked_for(impl, fw, rng, eps):
    """Numbers so small that it matters: 1e-5 unless something else is told."""
    case, given = CASES["usual"], {} if eps is None else {"eps": eps}
    block, weights = made(impl, fw, rng, case, **given)
    for name in ("mix", "contract"):
        weights[name] = {part: 1e-3 * array for part, array in weights[name].items()}
        fw.set_weights(getattr(block, name), weights[name])
    weights["norm1"] = {"scale": np.full(8, 1e-3), "shift": np.zeros(8)}
    fw.set_weights(block.norm1, weights["norm1"])
    x = 1e-3 * rng.standard_normal(case[:3])
    fw.close(fw.call(block, fw.array(x)), by_hand(weights, x, 2, eps=eps or 1e-5), of=f"the block, {given}", rtol=1e-3)


@post_norm
@pytest.mark.parametrize("width, heads", [(8, 3), (2, 4), (9, 2)])
def test_heads_that_do_not_divide_the_width_are_refused(impl, fw, width, heads):
    with pytest.raises(ValueError):
        impl.EncoderBlock(width, heads, 4)


@pre_norm
@every_case
def test_each_branch_is_normalised_and_then_added(impl, fw, rng, case):
    block, weights = made(impl, fw, rng, case, norm_first=True)
    x = tokens(rng, case)
    given = fw.array(x)
    fw.close(fw.call(block, given), by_hand(weights, x, case[3], norm_first=True), of="the block")
    fw.check_unchanged(given, x, of="x")


@pre_norm
def test_a_pre_norm_block_with_silent_branches_changes_nothing(impl, fw, rng):
    block, weights = made(impl, fw, rng, CASES["usual"], norm_first=True)
    for name in ("mix", "contract"):
        fw.set_weights(getattr(block, name), {part: 0 * array for part, array in weights[name].items()})
    x = tokens(rng, CASES["usual"])
    fw.close(fw.call(block, fw.array(x)), x, of="a block whose branches are zero")


@padding
@both_kinds
@pytest.mark.parametrize("where", ["end", "front", "middle", "nowhere"])
def test_no_token_looks_at_padding(impl, fw, rng, norm_first, where):
    case = (2, 4, 8, 2, 12)  # as many heads as sequences: a mask on the wrong axis can broadcast unseen
    block, weights = made(impl, fw, rng, case, norm_first=norm_first)
    mask = np.array(
        {
            "end": [[True, True, True, False], [True, False, False, False]],
            "front": [[False, True, True, True], [False, False, True, True]],
            "middle": [[True, False, True, True], [True, True, True, True]],
            "nowhere": [[True] * 4] * 2,
        }[where]
    )
    x = tokens(rng, case)
    given, given_mask = fw.array(x), fw.array(mask)
    output = fw.call(block, given, given_mask)
    fw.check_shape(output, x.shape, of="the block")
    expected = by_hand(weights, x, 2, norm_first, mask)
    fw.close(fw.array(fw.numpy(output)[mask]), expected[mask], of="the block, at the tokens that are no padding")
    fw.check_unchanged(given, x, of="x")
    fw.check_unchanged(given_mask, mask, of="mask")


@padding
@both_kinds
def test_padding_stays_hidden_however_low_the_scores(impl, fw, rng, norm_first):
    """The biases of query and key make every score -180,000: a token takes the average of all that it may look at."""
    case = (2, 4, 8, 2, 12)
    block, weights = made(impl, fw, rng, case, norm_first=norm_first)
    for name, bias in (("query", 300.0), ("key", -300.0)):
        weights[name] = {"kernel": np.zeros((8, 8)), "bias": np.full(8, bias)}
        fw.set_weights(getattr(block, name), weights[name])
    x, mask = tokens(rng, case), np.array([[True, True, True, False], [True, False, False, True]])
    output = fw.numpy(fw.call(block, fw.array(x), fw.array(mask)))
    expected = by_hand(weights, x, 2, norm_first, mask)
    fw.close(fw.array(output[mask]), expected[mask], of="the block, at the tokens that are no padding")


@padding
@both_kinds
def test_a_sequence_of_padding_alone_gives_finite_numbers(impl, fw, rng, norm_first):
    case = (3, 4, 8, 2, 12)
    block, weights = made(impl, fw, rng, case, norm_first=norm_first)
    mask = np.array([[True, True, True, False], [False] * 4, [True, False, False, False]])
    x = tokens(rng, case)
    output = fw.numpy(fw.call(block, fw.array(x), fw.array(mask)))
    wrong = np.sum(~np.isfinite(output), axis=(1, 2))
    assert not wrong.any(), f"numbers that are not finite, by sequence: {wrong}; the second one is all padding"
    expected = by_hand(weights, x, 2, norm_first, mask)
    fw.close(fw.array(output[mask]), expected[mask], of="the block, at the tokens that are no padding")


@dropout
@pytest.mark.parametrize("given", [{}, {"dropout": 0.25}], ids=["unless_told", "quarter"])
def test_every_place_has_the_rate_that_is_asked_for(impl, fw, given):
    block = impl.EncoderBlock(4, 2, 6, **given)
    layers = {place: getattr(block, place) for place in PLACES}
    rates = {place: getattr(layer, rate_name(layer)) for place, layer in layers.items()}
    expected = given.get("dropout", 0.1)
    assert set(rates.values()) == {expected}, f"every rate should be {expected}; they are {rates}"


@dropout
@both_kinds
@pytest.mark.parametrize("place", PLACES)
def test_what_is_dropped_is_gone_there_and_only_there(impl, fw, rng, place, norm_first):
    """Everything is dropped at one place and nothing elsewhere, so the result is certain."""
    case = CASES["usual"]
    block, weights = made(impl, fw, rng, case, norm_first=norm_first)
    set_rates(block, **{place: CERTAIN})
    x = tokens(rng, case)
    output = fw.call(block, fw.array(x), training=True)
    fw.close(output, by_hand(weights, x, 2, norm_first, dropped=place), of=f"the block, with {place} dropping all")


@dropout
@both_kinds
def test_nothing_is_dropped_in_evaluation(impl, fw, rng, norm_first):
    case = CASES["usual"]
    block, weights = made(impl, fw, rng, case, norm_first=norm_first)
    set_rates(block, **dict.fromkeys(PLACES, 0.5))
    x = tokens(rng, case)
    expected = by_hand(weights, x, 2, norm_first)
    fw.close(fw.call(block, fw.array(x)), expected, of="the block in evaluation")
    fw.close(block(fw.array(x)), expected, of="the block when nothing is said of training")


@dropout
@pytest.mark.parametrize("place", ["drop_attended", "drop_fed"])
def test_numbers_of_a_branch_are_dropped_one_by_one(impl, fw, rng, place):
    """In a pre-norm block it can be seen from outside: half of the branch is missing, and the rest is doubled."""
    case = (8, 6, 8, 2, 12)
    block, weights = made(impl, fw, rng, case, norm_first=True)
    fw.set_weights(block.contract, {part: 0 * array for part, array in weights["contract"].items()})
    if place == "drop_fed":
        fw.set_weights(block.contract, weights["contract"])
        fw.set_weights(block.mix, {part: 0 * array for part, array in weights["mix"].items()})
    x = tokens(rng, case)
    branch = fw.numpy(fw.call(block, fw.array(x))) - x
    set_rates(block, **{place: 0.5})
    share = (fw.numpy(fw.call(block, fw.array(x), training=True)) - x) / branch
    dropped, doubled = np.mean(np.abs(share) < 0.02), np.mean(np.abs(share - 2) < 0.02)
    assert 0.35 < dropped < 0.65 and dropped + doubled > 0.95, (
        f"at a rate of a half, about half of the branch should be 0 and the rest doubled; {dropped:.0%} of it are 0 "
        f"and {doubled:.0%} doubled"
    )


@dropout
def test_a_weight_is_dropped_for_all_columns_of_its_head(impl, fw, rng):
    """A lone token has one weight in each head: if it goes, the head's values go, all of them at once."""
    case = (64, 1, 8, 2, 12)
    block, weights = made(impl, fw, rng, case, norm_first=True)
    fw.set_weights(block.mix, {"kernel": np.eye(8), "bias": np.zeros(8)})
    fw.set_weights(block.contract, {part: 0 * array for part, array in weights["contract"].items()})
    x = tokens(rng, case)
    branch = fw.numpy(fw.call(block, fw.array(x))) - x
    set_rates(block, drop_weights=0.5)
    share = ((fw.numpy(fw.call(block, fw.array(x), training=True)) - x) / branch).reshape(64, 2, 4)
    dropped, doubled = (np.mean(np.all(np.abs(share - factor) < 0.02, axis=-1)) for factor in (0, 2))
    assert 0.25 < dropped < 0.75 and dropped + doubled > 0.95, (
        f"at a rate of a half, about half of the heads should be 0 in all their columns, and the rest doubled; "
        f"{dropped:.0%} of them are 0 and {doubled:.0%} doubled"
    )


@official_layer
@both_kinds
@pytest.mark.parametrize("case", [CASES["usual"], CASES["odd"]], ids=["usual", "odd"])
def test_it_equals_the_official_layer(impl, fw, rng, case, norm_first):
    block, weights = made(impl, fw, rng, case, norm_first=norm_first)
    x, mask = tokens(rng, case), np.ones(case[:2], bool)
    mask[-1, -2:] = False
    output = fw.numpy(fw.call(block, fw.array(x), fw.array(mask)))
    expected = fw.numpy(official(fw, weights, x, case[3], norm_first, mask))
    fw.close(fw.array(output[mask]), expected[mask], of="the block, at the tokens that are no padding")


def weight_gradients(fw, block, x, mask, cotangent):
    """Layer to part to the gradient of sum(cotangent · block(x, mask)), in the layout of fw.weights."""
    names = (*DENSE, *NORMS)
    given = fw.array(x), fw.array(mask)

    def loss():
        return fw.sum(fw.call(block, *given) * fw.array(cotangent))

    found = dict(zip(names, fw.layer_gradients(loss, [getattr(block, name) for name in names]), strict=True))
    for name, parts in found.items():
        assert all(part is not None for part in parts.values()), f"no gradient reaches the layer {name!r}"
    return found


@gradients
@both_kinds
def test_gradients_reach_the_tokens(impl, fw, rng, norm_first):
    """The block computes in float32, hence the tolerance. One sequence is all padding: no nan comes back from there."""
    case = (3, 4, 8, 2, 12)
    block, weights = made(impl, fw, rng, case, norm_first=norm_first)
    mask = np.array([[True, True, True, False], [True] * 4, [False] * 4])
    tensor_mask, seen = fw.array(mask), np.where(mask, 1.0, 0.0)[..., None]
    fw.check_gradients(
        lambda x: fw.call(block, x, tensor_mask) * fw.array(seen),
        lambda x: by_hand(weights, x, 2, norm_first, mask) * seen,
        [tokens(rng, case)],
        names=["x"],
        rtol=1e-3,
        atol=1e-3,
        dtype="float32",
    )


@gradients
@both_kinds
def test_gradients_reach_every_weight(impl, fw, rng, norm_first):
    case = (2, 4, 8, 2, 12)
    block, weights = made(impl, fw, rng, case, norm_first=norm_first)
    mask = np.array([[True, True, True, False], [True] * 4])
    x, cotangent = tokens(rng, case), rng.standard_normal(case[:3]) * mask[..., None]
    found = weight_gradients(fw, block, x, mask, cotangent)
    for name, parts in weights.items():
        for part, array in parts.items():
            direction, ends = rng.standard_normal(array.shape), []
            for step in (1e-5, -1e-5):
                nudged = weights | {name: parts | {part: array + step * direction}}
                ends.append(np.sum(cotangent * by_hand(nudged, x, 2, norm_first, mask)))
            expected, actual = (ends[0] - ends[1]) / 2e-5, np.sum(direction * found[name][part])
            size = np.linalg.norm(found[name][part])
            assert abs(actual - expected) <= 1e-3 * max(size, abs(expected)) + 1e-3, (
                f"gradient of the {part} of {name}: along a random direction it is {expected:.5g} by finite "
                f"differences of the formula, but yours gives {actual:.5g}"
            )
