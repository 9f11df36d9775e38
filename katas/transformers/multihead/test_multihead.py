"""Levels of the multi-head attention kata.

Every expected value comes from `by_hand`, which goes through the heads one by one in float64 NumPy, or from the
framework's own layer with the same weights.
"""

import numpy as np
import pytest

from dojo import level

heads_level = level(1, "heads")
values_level = level(2, "values", points=3)
masks_level = level(3, "masks", points=3)
gradients = level(4, "gradients", points=2, autograd=True)
large_scores = level(5, "large scores")
no_loops = level(6, "no loops")

NAMES = ("query", "key", "value", "output")

# Batch, queries, keys; widths of query, key, value, of the projections and of the output; heads.
CASES = {
    "self": (2, 5, 5, 6, 6, 6, 6, 6, 3),
    "cross": (2, 3, 7, 6, 5, 4, 8, 6, 2),  # as many heads as batches: a wrong axis can broadcast unseen
    "narrow": (3, 4, 2, 1, 3, 2, 4, 1, 4),  # heads of width one
    "single": (1, 1, 1, 1, 1, 1, 1, 1, 1),
}
MASKS = {  # mask, key_mask for two batches, three queries and four keys; no query is blind
    "causal": (np.tril(np.ones((3, 4), bool)), None),
    "padding": (None, np.array([[True, True, False, True], [False, True, True, False]])),
    "both": (np.tril(np.ones((3, 4), bool), 1), np.array([[True, False, True, True], [True, True, False, False]])),
    "by_head": (np.arange(24).reshape(1, 2, 3, 4) % 5 > 1, None),
}


# ---------------------------------------------------------------- the formulas


def by_hand(query, key, value, weights, heads, mask=None, key_mask=None):
    """Head after head, as the formula reads: the output, and the weights of every head."""
    q, k, v = (x @ weights[name] + weights[f"{name}_bias"] for name, x in zip(NAMES, (query, key, value), strict=False))
    visible = np.ones((len(q), heads, q.shape[1], k.shape[1]), bool)
    if mask is not None:
        visible &= mask
    if key_mask is not None:
        visible &= key_mask.reshape(len(q), 1, 1, -1)
    width = q.shape[-1] // heads
    found, looks = [], []
    for head in range(heads):
        columns = slice(head * width, (head + 1) * width)
        scores = q[..., columns] @ k[..., columns].swapaxes(-1, -2) / np.sqrt(width)
        scores = np.where(visible[:, head], scores, -np.inf)
        top = scores.max(axis=-1, keepdims=True)
        look = np.exp(scores - np.where(np.isfinite(top), top, 0))
        look /= np.maximum(look.sum(axis=-1, keepdims=True), np.finfo("float64").tiny)
        found.append(look @ v[..., columns])
        looks.append(look)
    return np.concatenate(found, axis=-1) @ weights["output"] + weights["output_bias"], np.stack(looks, axis=1)


def official(fw, inputs, weights, heads, mask=None, key_mask=None):
    """The framework's own layer with the same weights; query, projections and output are equally wide."""
    query, key, value = map(fw.array, inputs)
    if fw.name == "torch":
        import torch

        width, widths = query.shape[-1], {"kdim": key.shape[-1], "vdim": value.shape[-1]}
        layer = torch.nn.MultiheadAttention(width, heads, batch_first=True, **widths)
        state = {f"{name[0]}_proj_weight": fw.array(weights[name].T) for name in NAMES[:3]}
        state["in_proj_bias"] = fw.array(np.concatenate([weights[f"{name}_bias"] for name in NAMES[:3]]))
        state |= {"out_proj.weight": fw.array(weights["output"].T), "out_proj.bias": fw.array(weights["output_bias"])}
        layer.load_state_dict(state)
        hidden = None if mask is None else ~fw.array(mask)
        padding = None if key_mask is None else ~fw.array(key_mask)
        return layer(query, key, value, padding, attn_mask=hidden, average_attn_weights=False)
    import keras

    width = weights["query"].shape[1] // heads
    layer = keras.layers.MultiHeadAttention(heads, width)
    layer(query, value, key)  # builds it: note the order of its arguments
    shapes = [(-1, heads, width), (heads, width)] * 3 + [(heads, width, query.shape[-1]), (-1,)]
    names = [key for name in NAMES for key in (name, f"{name}_bias")]
    # Keras keeps query, key, value, output in this order, each as kernel and bias.
    layer.set_weights([weights[key].reshape(shape) for key, shape in zip(names, shapes, strict=True)])
    visible = np.ones((len(query), query.shape[1], key.shape[1]), bool)
    visible &= True if mask is None else mask
    visible &= True if key_mask is None else key_mask[:, None]
    return layer(query, value, key, attention_mask=fw.array(visible), return_attention_scores=True)


def make(rng, case):
    """Query, key and value; the weights; and the number of heads."""
    batch, queries, keys, query_width, key_width, value_width, inner, out, heads = case
    query = rng.standard_normal((batch, queries, query_width))
    key = rng.standard_normal((batch, keys, key_width))
    value = rng.standard_normal((batch, keys, value_width))
    weights = {}
    for name, shape in zip(
        NAMES, [(query_width, inner), (key_width, inner), (value_width, inner), (inner, out)], strict=True
    ):
        weights[name] = rng.standard_normal(shape) / np.sqrt(shape[0])
        weights[f"{name}_bias"] = rng.standard_normal(shape[1])
    return [query, key, value], weights, heads


def check(impl, fw, inputs, weights, heads, mask=None, key_mask=None, dtype="float32", **tolerance):
    """The learner's output and weights are those of `by_hand`."""
    tensors = [fw.array(x, dtype) for x in inputs]
    given = {name: fw.array(array, dtype) for name, array in weights.items()}
    masks = {"mask": mask, "key_mask": key_mask}
    masks = {name: fw.array(array) for name, array in masks.items() if array is not None}
    result = impl.multihead(*tensors, given, heads, **masks)
    assert isinstance(result, tuple | list) and len(result) == 2, "multihead returns two tensors: output and weights"
    output, looks = by_hand(*inputs, weights, heads, mask, key_mask)
    fw.close(result[1], looks, of="weights", dtype=dtype, **tolerance)
    fw.close(result[0], output, of="output", dtype=dtype, **tolerance)


# ---------------------------------------------------------------- level 1


@heads_level
@pytest.mark.parametrize(
    "shape, heads",
    [((2, 3, 8), 4), ((3, 2, 6), 2), ((2, 3, 5), 1), ((1, 1, 1), 1), ((2, 0, 4), 2)],
    ids=["four", "two", "one", "tiny", "no_time"],
)
def test_each_head_gets_columns_of_its_own(impl, fw, rng, shape, heads):
    x = rng.standard_normal(shape)
    width = shape[-1] // heads
    expected = np.stack([x[..., head * width : (head + 1) * width] for head in range(heads)], axis=1)
    fw.close(impl.split_heads(fw.array(x), heads), expected, of="split_heads")


@heads_level
@pytest.mark.parametrize(
    "shape",
    [(2, 3, 4, 5), (3, 2, 2, 1), (2, 1, 3, 5), (1, 1, 1, 1), (2, 4, 0, 3)],
    ids=["three", "narrow", "one", "tiny", "no_time"],
)
def test_merging_puts_the_columns_side_by_side(impl, fw, rng, shape):
    x = rng.standard_normal(shape)
    expected = np.concatenate([x[:, head] for head in range(shape[1])], axis=-1)
    fw.close(impl.merge_heads(fw.array(x)), expected, of="merge_heads")


@heads_level
@pytest.mark.parametrize("width, heads", [(6, 4), (2, 4), (7, 2)])
def test_a_width_that_does_not_divide_is_refused(impl, fw, rng, width, heads):
    with pytest.raises(ValueError):
        impl.split_heads(fw.array(rng.standard_normal((2, 4, width))), heads)


# ---------------------------------------------------------------- level 2


@values_level
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_head_attends_by_itself(impl, fw, rng, case):
    check(impl, fw, *make(rng, case))


@values_level
def test_a_sequence_can_look_at_itself(impl, fw, rng):
    """The same tensor three times: everything depends on the projections."""
    inputs, weights, heads = make(rng, CASES["self"])
    check(impl, fw, [inputs[0]] * 3, weights, heads)


@values_level
def test_it_equals_the_official_layer(impl, fw, rng):
    inputs, weights, heads = make(rng, (2, 3, 5, 8, 5, 3, 8, 8, 4))
    given = {name: fw.array(array) for name, array in weights.items()}
    output, looks = impl.multihead(*map(fw.array, inputs), given, heads)
    expected = official(fw, inputs, weights, heads)
    fw.close(looks, fw.numpy(expected[1]), of="weights")
    fw.close(output, fw.numpy(expected[0]), of="output")


@values_level
@pytest.mark.parametrize(
    "case", [(2, 3, 5, 6, 6, 6, 6, 6, 4), (1, 2, 2, 4, 4, 4, 2, 4, 3)], ids=["four_heads", "too_many_heads"]
)
def test_heads_that_do_not_divide_are_refused(impl, fw, rng, case):
    inputs, weights, heads = make(rng, case)
    with pytest.raises(ValueError):
        impl.multihead(*map(fw.array, inputs), {name: fw.array(array) for name, array in weights.items()}, heads)


@values_level
@pytest.mark.parametrize("keys, values", [(5, 4), (5, 1), (4, 5)])
def test_keys_and_values_must_be_equally_many(impl, fw, rng, keys, values):
    (query, key, value), weights, heads = make(rng, CASES["self"])
    with pytest.raises(ValueError):
        given = {name: fw.array(array) for name, array in weights.items()}
        impl.multihead(*map(fw.array, (query, key[:, :keys], value[:, :values])), given, heads)


# ---------------------------------------------------------------- level 3


@masks_level
@pytest.mark.parametrize("kind", MASKS)
def test_a_hidden_key_gets_no_weight(impl, fw, rng, kind):
    inputs, weights, heads = make(rng, (2, 3, 4, 6, 5, 3, 6, 6, 2))
    check(impl, fw, inputs, weights, heads, *MASKS[kind])


@masks_level
@pytest.mark.parametrize("kind", [kind for kind in MASKS if kind != "by_head"])
def test_masks_mean_the_same_to_the_official_layer(impl, fw, rng, kind):
    """Once they are turned over for PyTorch, where True hides, and joined for Keras."""
    inputs, weights, heads = make(rng, (2, 3, 4, 6, 5, 3, 6, 6, 2))
    mask, key_mask = MASKS[kind]
    given = {name: fw.array(array) for name, array in weights.items()}
    tensor_masks = [None if array is None else fw.array(array) for array in (mask, key_mask)]
    output, looks = impl.multihead(*map(fw.array, inputs), given, heads, *tensor_masks)
    expected = official(fw, inputs, weights, heads, mask, key_mask)
    fw.close(looks, fw.numpy(expected[1]), of="weights")
    fw.close(output, fw.numpy(expected[0]), of="output")


@masks_level
@pytest.mark.parametrize("by", ["mask", "key_mask", "both", "one_head"])
def test_a_query_that_may_look_nowhere_gets_zeros(impl, fw, rng, by):
    """Weights of zero, so that nothing but the bias is left in the output."""
    inputs, weights, heads = make(rng, (2, 3, 3, 4, 4, 4, 4, 4, 2))
    mask = np.array([[True, True, False], [False, False, False], [False, True, True]])
    key_mask = np.array([[True, True, True], [False, False, False]])
    if by == "both":  # each leaves something to see, and together they leave nothing to the first query
        mask, key_mask = np.tril(np.ones((3, 3), bool)), np.array([[False, True, True], [True, False, True]])
    if by == "one_head":  # blind in the first head, and not in the second
        mask = np.stack([mask, np.ones((3, 3), bool)])
    masks = {"mask": (mask, None), "key_mask": (None, key_mask), "both": (mask, key_mask), "one_head": (mask, None)}
    check(impl, fw, inputs, weights, heads, *masks[by])


@masks_level
def test_no_argument_is_written_to(impl, fw, rng):
    inputs, weights, heads = make(rng, (2, 3, 4, 6, 5, 3, 6, 6, 2))
    masks = [np.tile(np.tril(np.ones((3, 4), bool)), (2, 2, 1, 1)), MASKS["padding"][1]]
    arrays = dict(zip(("query", "key", "value", "mask", "key_mask"), (*inputs, *masks), strict=True))
    tensors, given = ({name: fw.array(x) for name, x in group.items()} for group in (arrays, weights))
    impl.multihead(**tensors, weights=given, heads=heads)
    for name, array in arrays.items():
        fw.check_unchanged(tensors[name], array, of=name)
    assert given.keys() == weights.keys(), "multihead must not add to the weights, nor take any away"
    for name, array in weights.items():
        fw.check_unchanged(given[name], array, of=f'weights["{name}"]')


# ---------------------------------------------------------------- level 4


@gradients
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_gradients_reach_the_inputs_and_every_weight(impl, fw, rng, masked):
    """With masks the first query of the first batch is blind: its gradient is zero, and must not be nan."""
    inputs, weights, heads = make(rng, (2, 3, 4, 3, 2, 3, 4, 2, 2))
    mask = np.tril(np.ones((3, 4), bool)) if masked else None
    key_mask = np.array([[False, True, True, True], [True, True, False, True]]) if masked else None
    tensor_masks = [None if array is None else fw.array(array) for array in (mask, key_mask)]

    def joined(function, masks):
        return lambda *all_of_them: function(
            *all_of_them[:3], dict(zip(weights, all_of_them[3:], strict=True)), heads, *masks
        )[0]

    fw.check_gradients(
        joined(impl.multihead, tensor_masks),
        joined(by_hand, (mask, key_mask)),
        [*inputs, *weights.values()],
        names=("query", "key", "value", *(f'weights["{name}"]' for name in weights)),
    )


# ---------------------------------------------------------------- level 5


@large_scores
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_large_scores_do_not_overflow(impl, fw, rng, masked):
    inputs, weights, heads = make(rng, (2, 3, 4, 6, 5, 3, 6, 6, 2))
    query, key, value = inputs
    masks = MASKS["both"] if masked else (None, None)
    check(impl, fw, [query * 60, key * 60, value], weights, heads, *masks, atol=2e-3)


@large_scores
def test_a_hidden_key_stays_hidden_however_low_the_scores(impl, fw, rng):
    """Every query points away from every key: all scores lie below -40,000, and whole numbers make them exact."""
    inputs, weights, heads = make(rng, (2, 3, 4, 3, 3, 3, 8, 6, 2))
    inputs, weights = [np.round(x) for x in inputs], {name: np.round(array) for name, array in weights.items()}
    weights["query_bias"] += 200
    weights["key_bias"] -= 200
    check(impl, fw, inputs, weights, heads, *MASKS["both"])


@large_scores
@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_the_dtype_is_kept(impl, fw, rng, dtype, masked):
    inputs, weights, heads = make(rng, (2, 3, 4, 6, 5, 3, 6, 6, 2))
    mask = np.tril(np.ones((3, 4), bool), -1) if masked else None  # the first query sees nothing
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if dtype == "float16" else {}
    check(impl, fw, inputs, weights, heads, mask, dtype=dtype, **tolerance)


# ---------------------------------------------------------------- level 6


@no_loops
def test_heads_and_batches_cost_no_further_operations(impl, fw, rng):
    counts = {}
    for batch, heads in ((2, 2), (8, 2), (2, 8)):
        inputs, weights, _ = make(rng, (batch, 3, 5, 8, 8, 8, 16, 8, heads))
        given = {name: fw.array(array) for name, array in weights.items()}
        masks = [fw.array(np.tril(np.ones((3, 5), bool))), fw.array(np.arange(batch * 5).reshape(batch, 5) % 3 < 2)]
        counts[batch, heads] = fw.count_ops(impl.multihead, *map(fw.array, inputs), given, heads, *masks)
    least = counts.pop((2, 2))
    for (batch, heads), count in counts.items():
        assert count <= least, (
            f"{batch} batches and {heads} heads take {count} operations, 2 batches and 2 heads take {least}"
        )


@pytest.mark.gpu
@values_level
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    inputs, weights, heads = make(rng, CASES["cross"])
    given = {name: gpu.array(array) for name, array in weights.items()}
    output, _ = impl.multihead(*map(gpu.array, inputs), given, heads)
    gpu.check_device(output)
    gpu.close(output, by_hand(*inputs, weights, heads)[0], of="output")
