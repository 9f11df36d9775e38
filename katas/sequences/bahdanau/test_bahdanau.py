"""Levels of the bahdanau kata. Every expected value comes from `by_hand`, in float64 NumPy, one pair at a time."""

from contextlib import contextmanager

import numpy as np
import pytest

from dojo import level

shapes_refusals = level(1, "shapes and refusals")
values = level(2, "values", points=3)
padding = level(3, "padding", points=2)
gradients_level = level(4, "gradients", points=2)
nothing_computed_twice = level(5, "nothing computed twice")
large_scores = level(6, "large scores")
alignment_level = level(7, "alignment", points=2)

SIZES = [  # B sequences, T queries, S positions; widths of query and memory, units
    (2, 3, 5, 4, 6, 7),
    (3, 1, 4, 5, 2, 3),  # one step of a decoder
    (2, 4, 4, 3, 3, 3),  # sizes that broadcast by accident
    (1, 2, 1, 2, 3, 5),  # one position
    (1, 1, 1, 1, 1, 1),
]


def by_hand(weights, query, memory, mask=None):
    """Context and weights as the formula reads: a score for every query and every real position."""
    kernel_query, kernel_memory, kernel_score = weights
    alignment = np.zeros((len(query), query.shape[1], memory.shape[1]))
    for b, t in np.ndindex(alignment.shape[:2]):
        real = np.arange(memory.shape[1]) if mask is None else np.flatnonzero(mask[b])
        if len(real):
            hidden = np.tanh(query[b, t] @ kernel_query + memory[b, real] @ kernel_memory)
            scores = (hidden @ kernel_score)[:, 0]
            shares = np.exp(scores - scores.max())
            alignment[b, t, real] = shares / shares.sum()
    return alignment @ memory, alignment


@contextmanager
def default_dtype(fw, dtype):
    """Layers made inside have this dtype."""
    if fw.name == "torch":
        import torch

        setters, before = [torch.set_default_dtype], torch.get_default_dtype()
        dtype = getattr(torch, dtype)
    else:
        import keras

        setters, before = [keras.config.set_floatx, keras.config.set_dtype_policy], keras.config.floatx()
    try:
        for setter in setters:
            setter(dtype)
        yield
    finally:
        for setter in setters:
            setter(before)


def make(impl, fw, rng, query_size, memory_size, units, dtype="float32", scale=1.0):
    """A layer with random weights, and these weights."""
    with default_dtype(fw, dtype):
        layer = impl.BahdanauAttention(query_size, memory_size, units)
    shapes = (query_size, units), (memory_size, units), (units, 1)
    weights = [rng.standard_normal(shape) for shape in shapes]
    weights[2] *= scale
    for name, kernel in zip(("query_layer", "memory_layer", "score_layer"), weights, strict=True):
        found = fw.weights(getattr(layer, name))
        assert set(found) == {"kernel"}, f"{name} should have no bias, and has {sorted(found)}"
        assert found["kernel"].shape == kernel.shape, (
            f"{name} should lead from {kernel.shape[0]} to {kernel.shape[1]}, not {found['kernel'].shape}"
        )
        fw.set_weights(getattr(layer, name), {"kernel": kernel})
    return layer, weights


def look(layer, *arguments, **named):
    result = layer(*arguments, **named)
    assert isinstance(result, tuple) and len(result) == 2, f"expected the context and the weights, got {type(result)}"
    return result


def some_mask(rng, batch, length):
    """At least one real position in each row, not always at the front."""
    mask = rng.random((batch, length)) < 0.5
    mask[np.arange(batch), rng.integers(0, length, batch)] = True
    return mask


@pytest.fixture(params=SIZES, ids=["usual", "one step", "equal sizes", "one position", "tiny"])
def case(request, impl, fw, rng):
    """A layer, its weights, a query and a memory."""
    batch, queries, length, *widths = request.param
    layer, weights = make(impl, fw, rng, *widths)
    return (
        layer,
        weights,
        rng.standard_normal((batch, queries, widths[0])),
        rng.standard_normal((batch, length, widths[1])),
    )


# -------------------------------------------------------------------- 1 shapes and refusals


@shapes_refusals
def test_a_context_and_a_row_of_weights_for_every_query(fw, case):
    layer, _, query, memory = case
    context, weights = look(layer, fw.array(query), fw.array(memory))
    fw.check_shape(context, (*query.shape[:2], memory.shape[2]), of="context")
    fw.check_shape(weights, (*query.shape[:2], memory.shape[1]), of="weights")


@shapes_refusals
@pytest.mark.parametrize(
    "wrong",
    [
        {"query": (2, 3, 5)},
        {"query": (1, 3, 4)},
        {"memory": (2, 5, 4)},
        {"memory": (1, 5, 6)},
        {"real": (2, 4)},
        {"real": (1, 5)},
        {"real": (2, 3, 5)},
        {"keys": (2, 5, 6)},
        {"keys": (2, 1, 7)},
    ],
    ids=str,
)
def test_shapes_that_do_not_fit_are_refused(impl, fw, rng, wrong):
    layer, _ = make(impl, fw, rng, 4, 6, 7)
    shapes = {"query": (2, 3, 4), "memory": (2, 5, 6)} | wrong
    arguments = {name: fw.array(rng.standard_normal(shape)) for name, shape in shapes.items() if name != "real"}
    if "real" in shapes:
        arguments["real"] = fw.array(np.ones(shapes["real"], bool))
    with pytest.raises(ValueError):
        layer(arguments.pop("query"), arguments.pop("memory"), **arguments)


# -------------------------------------------------------------------- 2 values


@values
def test_the_formula(fw, case):
    layer, weights, query, memory = case
    context, alignment = look(layer, fw.array(query), fw.array(memory))
    fw.close(alignment, by_hand(weights, query, memory)[1], of="weights")
    fw.close(context, by_hand(weights, query, memory)[0], of="context")


@values
def test_keys_are_the_projected_memory(fw, case):
    layer, (_, kernel, _), _, memory = case
    fw.close(layer.project(fw.array(memory)), memory @ kernel, of="project(memory)")


# -------------------------------------------------------------------- 3 padding


@padding
def test_only_real_positions_share_the_weight(fw, rng, case):
    layer, weights, query, memory = case
    mask = some_mask(rng, *memory.shape[:2])
    context, alignment = look(layer, fw.array(query), fw.array(memory), real=fw.array(mask))
    expected = by_hand(weights, query, memory, mask)
    fw.close(alignment, expected[1], of="weights")
    fw.close(context, expected[0], of="context")
    assert not fw.numpy(alignment)[~np.broadcast_to(mask[:, None], alignment.shape)].any(), (
        "padding has a small weight; it should be exactly zero"
    )


@padding
def test_what_stands_in_the_padding_has_no_influence(impl, fw, rng):
    layer, weights = make(impl, fw, rng, 4, 3, 5)
    query, memory, mask = rng.standard_normal((3, 2, 4)), rng.standard_normal((3, 6, 3)), some_mask(rng, 3, 6)
    filled = np.where(mask[..., None], memory, 1e6)
    context, alignment = look(layer, fw.array(query), fw.array(filled), real=fw.array(mask))
    expected = by_hand(weights, query, memory, mask)
    fw.close(alignment, expected[1], of="weights with 1000000 in the padding")
    fw.close(context, expected[0], of="context with 1000000 in the padding")


@padding
def test_a_sequence_of_padding_alone_gives_zeros(impl, fw, rng):
    layer, weights = make(impl, fw, rng, 4, 3, 5)
    query, memory = rng.standard_normal((3, 2, 4)), rng.standard_normal((3, 6, 3))
    mask = some_mask(rng, 3, 6)
    mask[1] = False
    context, alignment = look(layer, fw.array(query), fw.array(memory), real=fw.array(mask))
    expected = by_hand(weights, query, memory, mask)
    fw.close(alignment, expected[1], of="weights, the second sequence all padding")
    fw.close(context, expected[0], of="context, the second sequence all padding")


# -------------------------------------------------------------------- 4 gradients


@gradients_level
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_gradients_reach_query_and_memory(impl, fw, rng, masked):
    layer, weights = make(impl, fw, rng, 3, 4, 5, dtype="float64")
    mask = np.array([[True, False, True, True], [False] * 4]) if masked else None
    tensor_mask = None if mask is None else fw.array(mask)
    fw.check_gradients(
        lambda query, memory: layer(query, memory, real=tensor_mask)[0],
        lambda query, memory: by_hand(weights, query, memory, mask)[0],
        [rng.standard_normal((2, 3, 3)), rng.standard_normal((2, 4, 4))],
        names=("query", "memory"),
    )


@gradients_level
def test_gradients_reach_the_three_matrices(impl, fw, rng):
    """The mean of cotangent · context, differentiated by finite differences along a random direction."""
    layer, weights = make(impl, fw, rng, 3, 4, 5, dtype="float64")
    query, memory, cotangent = (rng.standard_normal(shape) for shape in ((2, 3, 3), (2, 4, 4), (2, 3, 4)))
    gradients = weight_gradients(fw, layer, query, memory, cotangent)
    for index, name in enumerate(("query_layer", "memory_layer", "score_layer")):
        assert gradients[index] is not None, f"no gradient reaches the weights of {name}"
        direction, ends = rng.standard_normal(weights[index].shape), []
        for step in (1e-5, -1e-5):
            moved = [*weights[:index], weights[index] + step * direction, *weights[index + 1 :]]
            ends.append(np.sum(cotangent * by_hand(moved, query, memory)[0]))
        expected, found = (ends[0] - ends[1]) / 2e-5, np.sum(gradients[index] * direction)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6), (
            f"gradient of {name}: along a random direction it is {expected:.6g}, yours gives {found:.6g}"
        )


def weight_gradients(fw, layer, query, memory, cotangent):
    """The gradients of sum(cotangent · context) for the three kernels, each (in, out); None where none arrives."""
    query, memory, cotangent = (fw.array(array, "float64") for array in (query, memory, cotangent))
    layers = layer.query_layer, layer.memory_layer, layer.score_layer
    count = len(fw.parameters(layer))
    assert count == 3, f"the layer should have three trainable matrices, and has {count}"
    if fw.name == "torch":
        (layer(query, memory)[0] * cotangent).sum().backward()
        return [None if part.weight.grad is None else fw.numpy(part.weight.grad).T for part in layers]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(query, memory)[0] * cotangent)
    gradients = tape.gradient(total, [part.kernel.value for part in layers])
    return [None if gradient is None else fw.numpy(gradient) for gradient in gradients]


# -------------------------------------------------------------------- 5 nothing computed twice


@nothing_computed_twice
def test_keys_that_are_given_are_used(impl, fw, rng):
    layer, weights = make(impl, fw, rng, 4, 3, 5)
    query, memory, other = (rng.standard_normal(shape) for shape in ((2, 3, 4), (2, 6, 3), (2, 6, 3)))
    alignment = by_hand(weights, query, other)[1]
    context, found = look(layer, fw.array(query), fw.array(memory), keys=fw.array(other @ weights[1]))
    fw.close(found, alignment, of="weights with keys of another memory")
    fw.close(context, alignment @ memory, of="context with keys of another memory")


@nothing_computed_twice
def test_keys_and_padding_may_come_together(impl, fw, rng):
    """As in each step of a decoder."""
    layer, weights = make(impl, fw, rng, 4, 3, 5)
    query, memory, mask = rng.standard_normal((2, 1, 4)), rng.standard_normal((2, 6, 3)), some_mask(rng, 2, 6)
    mask[:, 2] = False
    mask[:, 4] = True
    keys = fw.array(memory @ weights[1])
    context, alignment = look(layer, fw.array(query), fw.array(memory), real=fw.array(mask), keys=keys)
    expected = by_hand(weights, query, memory, mask)
    fw.close(alignment, expected[1], of="weights with keys and padding")
    fw.close(context, expected[0], of="context with keys and padding")


@nothing_computed_twice
def test_with_keys_the_memory_is_not_projected_again(impl, fw, rng):
    layer, _ = make(impl, fw, rng, 4, 3, 5)
    query, memory = fw.array(rng.standard_normal((2, 1, 4))), fw.array(rng.standard_normal((2, 6, 3)))
    keys = layer.project(memory)
    without = fw.count_ops(lambda: layer(query, memory))
    with_keys = fw.count_ops(lambda: layer(query, memory, keys=keys))
    assert with_keys < without, f"a step with keys takes {with_keys} operations, one without takes {without}"


@nothing_computed_twice
def test_all_pairs_are_scored_at_once(impl, fw, rng):
    layer, _ = make(impl, fw, rng, 4, 3, 5)

    def count(batch, queries, length):
        query, memory = rng.standard_normal((batch, queries, 4)), rng.standard_normal((batch, length, 3))
        mask = some_mask(rng, batch, length)
        return fw.count_ops(lambda *given: layer(*given), *map(fw.array, (query, memory, mask)))

    few, many = count(2, 2, 3), count(5, 17, 11)
    assert many <= few, f"5 × 17 queries at 11 positions take {many} operations, 2 × 2 at 3 take {few}"


# -------------------------------------------------------------------- 6 large scores


@large_scores
@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
def test_large_scores_do_not_overflow(impl, fw, rng, masked):
    layer, weights = make(impl, fw, rng, 4, 3, 5, scale=1000)
    query, memory = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 6, 3))
    mask = None
    if masked:  # the position that the first query of each sequence likes best is padding
        mask = np.ones((2, 6), bool)
        mask[np.arange(2), by_hand(weights, query, memory)[1][:, 0].argmax(axis=1)] = False
    context, alignment = look(layer, fw.array(query), fw.array(memory), real=None if mask is None else fw.array(mask))
    expected = by_hand(weights, query, memory, mask)
    fw.close(alignment, expected[1], of="weights", atol=1e-2)
    fw.close(context, expected[0], of="context", atol=1e-2)


@large_scores
def test_scores_far_below_zero_still_beat_padding(impl, fw, rng):
    """Real scores of minus 10 000 000 000: a mask of minus 1e9 would let the padding win."""
    layer, weights = make(impl, fw, rng, 1, 1, 1)
    weights = [np.full((1, 1), value) for value in (1.0, 1.0, -1e10)]
    for name, kernel in zip(("query_layer", "memory_layer", "score_layer"), weights, strict=True):
        fw.set_weights(getattr(layer, name), {"kernel": kernel})
    query, memory = np.full((1, 1, 1), 30.0), np.array([[[1.0], [2.0], [3.0]]])
    mask = np.array([[False, True, False]])
    context, alignment = look(layer, fw.array(query), fw.array(memory), real=fw.array(mask))
    fw.close(alignment, np.array([[[0.0, 1.0, 0.0]]]), of="weights")
    fw.close(context, np.array([[[2.0]]]), of="context")


@large_scores
def test_float64_is_kept(impl, fw, rng):
    layer, weights = make(impl, fw, rng, 4, 3, 5, dtype="float64")
    query, memory, mask = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 6, 3)), some_mask(rng, 2, 6)
    context, alignment = look(layer, fw.array(query, "float64"), fw.array(memory, "float64"), real=fw.array(mask))
    fw.close(alignment, by_hand(weights, query, memory, mask)[1], of="weights", dtype="float64")
    fw.close(context, by_hand(weights, query, memory, mask)[0], of="context", dtype="float64")


# -------------------------------------------------------------------- 7 alignment

TOKENS, LONGEST, UPDATES = 8, 6, 150


def reversal(rng, batch):
    """Sequences to be read backwards.

    The memory holds each token with its place, the query the step and the length; the answer of step t in a sequence
    of n tokens is token n − 1 − t. Returns query, memory, mask, answers and where each answer stands.
    """
    length, tokens = rng.integers(2, LONGEST + 1, batch), rng.integers(0, TOKENS, (batch, LONGEST))
    mask = np.arange(LONGEST) < length[:, None]
    source = np.clip(length[:, None] - 1 - np.arange(LONGEST), 0, None)
    places = np.broadcast_to(np.eye(LONGEST), (batch, LONGEST, LONGEST))
    lengths = np.broadcast_to(np.eye(LONGEST)[length - 1][:, None], places.shape)
    memory = np.concatenate([np.eye(TOKENS)[tokens], places], axis=-1) * mask[..., None]
    return np.concatenate([places, lengths], axis=-1), memory, mask, np.take_along_axis(tokens, source, 1), source


@pytest.mark.timeout(120)  # a few seconds, on a machine with nothing else to do
@alignment_level
def test_reading_backwards_is_learnt_along_the_anti_diagonal(impl, fw, rng):
    """The layer under a linear readout, trained by Adam on the answers alone: nobody tells it where to look.

    Measured over ten seeds in both frameworks: every answer is right, and the least weight at its place 0.996. Who
    looks at all places evenly has a quarter of the weight there, and can only answer the commonest token.
    """
    layer = impl.BahdanauAttention(2 * LONGEST, TOKENS + LONGEST, 32)
    readout = trained(fw, layer, [reversal(rng, 64)[:4] for _ in range(UPDATES)])
    query, memory, mask, answers, source = reversal(rng, 500)
    context, weights = map(fw.numpy, layer(fw.array(query), fw.array(memory), real=fw.array(mask)))
    right = (np.argmax(context @ readout, axis=-1) == answers)[mask].mean()
    there = np.take_along_axis(weights, source[..., None], axis=2)[..., 0][mask]
    even = (mask / mask.sum(axis=1, keepdims=True))[mask].mean()
    commonest = (np.argmax(memory[..., :TOKENS].sum(axis=1), axis=-1)[:, None] == answers)[mask].mean()
    assert right > 0.98 > 0.6 > commonest, (
        f"after {UPDATES} updates {right:.1%} of the tokens are right; always the commonest one is {commonest:.1%}"
    )
    assert there.min() > 0.8 > 0.4 > even, (
        f"the weight on the token that is asked for should be nearly one at every step; it is {there.mean():.2f} on "
        f"average and {there.min():.2f} at worst (an even look has {even:.2f})"
    )


def trained(fw, layer, batches):
    """Train layer and readout on the cross-entropy of the answers at real steps; returns the readout's kernel."""
    if fw.name == "torch":
        import torch

        readout = torch.nn.Linear(TOKENS + LONGEST, TOKENS, bias=False)
        optimizer = torch.optim.Adam([*layer.parameters(), *readout.parameters()], lr=0.05)
        for query, memory, mask, answers in (map(fw.array, batch) for batch in batches):
            logits = readout(layer(query, memory, real=mask)[0])
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits[mask], answers[mask]).backward()
            optimizer.step()
        return fw.weights(readout)["kernel"]
    import keras
    import tensorflow as tf

    readout = keras.layers.Dense(TOKENS, use_bias=False)
    readout.build((TOKENS + LONGEST,))
    variables = [*layer.trainable_variables, *readout.trainable_variables]
    optimizer = keras.optimizers.Adam(0.05)
    optimizer.build(variables)

    @tf.function
    def update(query, memory, mask, answers):
        with tf.GradientTape() as tape:
            logits = readout(layer(query, memory, real=mask)[0])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(answers, logits)
            loss = tf.reduce_sum(tf.where(mask, losses, 0.0)) / tf.reduce_sum(tf.cast(mask, losses.dtype))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    for batch in batches:
        update(*map(fw.array, batch))
    return fw.weights(readout)["kernel"]


@pytest.mark.gpu
@values
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    query, memory = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 6))
    if gpu.name == "torch":
        layer, weights = make(impl, gpu, rng, 4, 6, 7)
        layer = layer.to(gpu.device)
    else:
        import tensorflow as tf

        with tf.device(gpu.device):
            layer, weights = make(impl, gpu, rng, 4, 6, 7)
    context, _ = look(layer, gpu.array(query), gpu.array(memory))
    gpu.check_device(context, of="context")
    gpu.close(context, by_hand(weights, query, memory)[0], of="context")
