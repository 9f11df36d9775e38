"""Levels of the streaming_f1 kata. Every expected value is scikit-learn's, on all samples at once, in float64."""

import numpy as np
import pytest

from dojo import level

shapes_refusals = level(1, "shapes and refusals")
one_batch = level(2, "one batch", points=2)
any_batching = level(3, "any batching", points=3)
sample_weights = level(4, "sample weights", points=2)
reset_merge = level(5, "reset and merge", points=2)
long_streams_odd = level(6, "long streams, odd numbers")
no_loops_no = level(7, "no loops, no growth")
home_framework = level(8, "at home in the framework")

AVERAGES = [None, "micro", "macro", "weighted"]
NAMES = ["per class", "micro", "macro", "weighted"]
every_average = pytest.mark.parametrize("average", AVERAGES, ids=NAMES)


def full_data_f1(y_true, y_pred, average, sample_weight=None):
    """F1 of all samples at once; a class that neither occurs nor is predicted scores 0."""
    from sklearn.metrics import f1_score

    labels = np.arange(y_pred.shape[1])
    if len(y_true) == 0:
        return np.zeros(len(labels)) if average is None else np.float64(0)
    guess = np.argmax(y_pred, axis=1)
    score = f1_score(y_true, guess, labels=labels, average=average, sample_weight=sample_weight, zero_division=0)
    return np.asarray(score, "float64")


def stream(rng, samples, classes):
    """Labels, and scores (logits) that favour the right class a little: some hits, some misses."""
    y_true = rng.integers(classes, size=samples)
    y_pred = rng.standard_normal((samples, classes)) + 1.5 * np.eye(classes)[y_true] - 2
    return y_true, y_pred


def update(fw, metric, y_true, y_pred, sample_weight=None, dtype=None):
    weight = None if sample_weight is None else fw.array(sample_weight, dtype)
    metric.update_state(fw.array(y_true), fw.array(y_pred), sample_weight=weight)


def feed(fw, metric, batch_size, *columns):
    """Update the metric with the columns in batches; the last one may be smaller."""
    for start in range(0, len(columns[0]), batch_size):
        update(fw, metric, *(column[start : start + batch_size] for column in columns))


# ---------------------------------------------------------------------- level 1


@shapes_refusals
@every_average
def test_nothing_counted_scores_zero(impl, fw, average):
    expected = full_data_f1(np.zeros(0, int), np.zeros((0, 3)), average)
    fw.close(impl.F1Score(3, average).result(), expected, of="result of a new metric")


@shapes_refusals
@every_average
def test_right_predictions_score_one(impl, fw, average):
    metric = impl.F1Score(4, average)
    update(fw, metric, np.array([3, 0, 1, 2, 0]), 5 * np.eye(4)[[3, 0, 1, 2, 0]])
    fw.close(metric.result(), np.ones(4) if average is None else np.float64(1), of="result of right predictions")


@shapes_refusals
@pytest.mark.parametrize(
    "arguments", [(3, "mean"), (3, "binary"), (1, "macro"), (0, None)], ids=["mean", "binary", "one class", "no class"]
)
def test_a_metric_that_makes_no_sense_is_refused(impl, fw, arguments):
    with pytest.raises(ValueError):
        impl.F1Score(*arguments)


@shapes_refusals
@pytest.mark.parametrize(
    "shapes",
    [((5,), (5, 4), None), ((5,), (6, 3), None), ((5, 1), (5, 3), None), ((5, 2), (5, 2, 3), None), ((5,), (5,), None),
     ((5,), (5, 3), (5, 1)), ((5,), (5, 3), (4,)), ((5,), (5, 3), ())],
    ids=["more classes", "more scores", "column of labels", "grid of labels", "no scores", "column of weights",
         "fewer weights", "one weight"],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(impl, fw, shapes):
    labels, scores, weights = shapes
    metric = impl.F1Score(3)
    with pytest.raises(ValueError):
        update(fw, metric, np.zeros(labels, int), np.ones(scores), None if weights is None else np.ones(weights))


# ---------------------------------------------------------------------- level 2


@one_batch
@every_average
@pytest.mark.parametrize("samples, classes", [(40, 3), (31, 2), (9, 7), (1, 2)])
def test_one_batch_gives_the_formula(impl, fw, rng, average, samples, classes):
    y_true, y_pred = stream(rng, samples, classes)
    metric = impl.F1Score(classes, average)
    update(fw, metric, y_true, y_pred)
    fw.close(metric.result(), full_data_f1(y_true, y_pred, average))


@one_batch
@every_average
def test_a_class_that_never_occurs_scores_zero(impl, fw, rng, average):
    """Of five classes one is never there, one never predicted, and one neither."""
    y_true = rng.choice([0, 1, 3], size=30)
    y_pred = rng.standard_normal((30, 5)) - np.array([0, 0, 0, 9, 9])
    metric = impl.F1Score(5, average)
    update(fw, metric, y_true, y_pred)
    fw.close(metric.result(), full_data_f1(y_true, y_pred, average))


@one_batch
@every_average
def test_no_hit_at_all_scores_zero(impl, fw, average):
    metric = impl.F1Score(3, average)
    update(fw, metric, np.array([0, 1, 2, 2]), np.eye(3)[[1, 2, 0, 1]])
    fw.close(metric.result(), np.zeros(3) if average is None else np.float64(0))


@one_batch
def test_the_average_is_macro_unless_told(impl, fw, rng):
    y_true, y_pred = stream(rng, 20, 4)
    metric = impl.F1Score(4)
    update(fw, metric, y_true, y_pred)
    fw.close(metric.result(), full_data_f1(y_true, y_pred, "macro"))


# ---------------------------------------------------------------------- level 3


@any_batching
@every_average
@pytest.mark.parametrize("batch_size", [1, 8], ids=["ones", "eights"])
def test_any_batch_size_gives_the_value_of_all_samples(impl, fw, rng, average, batch_size):
    columns = stream(rng, 35, 4)
    metric = impl.F1Score(4, average)
    feed(fw, metric, batch_size, *columns)
    fw.close(metric.result(), full_data_f1(*columns, average))


@any_batching
@every_average
def test_the_result_may_be_read_after_each_batch(impl, fw, rng, average):
    """Uneven batches, one of them empty, the classes in order: the value is always that of all samples so far."""
    y_true, y_pred = stream(rng, 50, 3)
    order = np.argsort(y_true, kind="stable")
    y_true, y_pred = y_true[order], y_pred[order]
    metric = impl.F1Score(3, average)
    for start, stop in [(0, 1), (1, 20), (20, 20), (20, 23), (23, 50)]:
        update(fw, metric, y_true[start:stop], y_pred[start:stop])
        expected = full_data_f1(y_true[:stop], y_pred[:stop], average)
        fw.close(metric.result(), expected, of=f"result after {stop} samples")
        fw.close(metric.result(), expected, of=f"result after {stop} samples, read once more")


@any_batching
def test_arguments_are_not_written_to(impl, fw, rng):
    arrays = [*stream(rng, 12, 3), rng.uniform(0.1, 2, size=12)]
    tensors = [fw.array(array) for array in arrays]
    metric = impl.F1Score(3)
    metric.update_state(*tensors)
    metric.result()
    for tensor, array, name in zip(tensors, arrays, ("y_true", "y_pred", "sample_weight"), strict=True):
        fw.check_unchanged(tensor, array, of=name)


# ---------------------------------------------------------------------- level 4


@sample_weights
@every_average
def test_a_sample_counts_as_much_as_it_weighs(impl, fw, rng, average):
    columns = (*stream(rng, 45, 4), rng.uniform(0, 5, size=45))
    metric = impl.F1Score(4, average)
    feed(fw, metric, 8, *columns)
    fw.close(metric.result(), full_data_f1(*columns[:2], average, columns[2]))


@sample_weights
@every_average
def test_without_weights_each_sample_of_a_batch_weighs_one(impl, fw, rng, average):
    y_true, y_pred = stream(rng, 40, 3)
    weight = np.concatenate([np.ones(15), rng.uniform(2, 9, size=25)])
    metric = impl.F1Score(3, average)
    update(fw, metric, y_true[:15], y_pred[:15])
    update(fw, metric, y_true[15:], y_pred[15:], weight[15:])
    fw.close(metric.result(), full_data_f1(y_true, y_pred, average, weight))


@sample_weights
@every_average
def test_samples_of_no_weight_are_as_if_absent(impl, fw, rng, average):
    y_true, y_pred = stream(rng, 30, 3)
    metric = impl.F1Score(3, average)
    update(fw, metric, y_true, y_pred, np.zeros(30))
    fw.close(metric.result(), full_data_f1(y_true[:0], y_pred[:0], average), of="result where every weight is zero")
    weight = (np.arange(30) % 3 > 0).astype(float)
    update(fw, metric, y_true, y_pred, weight)
    fw.close(metric.result(), full_data_f1(y_true[weight > 0], y_pred[weight > 0], average))


# ---------------------------------------------------------------------- level 5


@reset_merge
@every_average
def test_a_reset_forgets_everything(impl, fw, rng, average):
    metric = impl.F1Score(3, average)
    update(fw, metric, *stream(rng, 25, 3), rng.uniform(1, 3, size=25))
    metric.reset_state()
    fw.close(metric.result(), full_data_f1(np.zeros(0, int), np.zeros((0, 3)), average), of="result after a reset")
    columns = stream(rng, 14, 3)
    update(fw, metric, *columns)
    fw.close(metric.result(), full_data_f1(*columns, average), of="result of what came after a reset")


@reset_merge
def test_two_metrics_count_apart(impl, fw, rng):
    first, second = impl.F1Score(3), impl.F1Score(3)
    one, other = stream(rng, 20, 3), stream(rng, 20, 3)
    update(fw, first, *one)
    update(fw, second, *other)
    fw.close(first.result(), full_data_f1(*one, "macro"), of="result of the first of two metrics")
    fw.close(second.result(), full_data_f1(*other, "macro"), of="result of the second of two metrics")


@reset_merge
@every_average
def test_merged_metrics_give_the_value_of_all_samples(impl, fw, rng, average):
    """Three workers and one that saw nothing, from a generator; then the merged metric counts on."""
    columns = (*stream(rng, 60, 4), rng.uniform(0.2, 3, size=60))
    parts = [slice(0, 25), slice(25, 29), slice(29, 44), slice(44, 44)]
    workers = [impl.F1Score(4, average) for _ in parts]
    for worker, part in zip(workers, parts, strict=True):
        feed(fw, worker, 6, *(column[part] for column in columns))
    metric, *others = workers
    metric.merge_state(other for other in others)
    y_true, y_pred, weight = (column[:44] for column in columns)
    expected = full_data_f1(y_true, y_pred, average, weight)
    fw.close(metric.result(), expected, of="result after merging a generator of metrics")
    update(fw, metric, *(column[44:] for column in columns))
    expected = full_data_f1(*columns[:2], average, columns[2])
    fw.close(metric.result(), expected, of="result of a batch after the merge")


@reset_merge
def test_merged_metrics_stay_as_they_were(impl, fw, rng):
    """Also when the one that they were merged into counts on, or is reset."""
    metric, other = impl.F1Score(3), impl.F1Score(3)
    columns = stream(rng, 20, 3)
    update(fw, other, *columns)
    metric.merge_state([other])
    update(fw, metric, *stream(rng, 20, 3))
    fw.close(other.result(), full_data_f1(*columns, "macro"), of="result of a metric that was merged into another")
    metric.reset_state()
    fw.close(other.result(), full_data_f1(*columns, "macro"), of="result of a metric that was merged into another")


@reset_merge
def test_a_metric_of_other_classes_is_not_merged(impl, fw, rng):
    metric, fitting, other = impl.F1Score(3), impl.F1Score(3), impl.F1Score(4)
    columns = stream(rng, 20, 3)
    update(fw, metric, *columns)
    update(fw, fitting, *stream(rng, 20, 3))
    with pytest.raises(ValueError):
        metric.merge_state([fitting, other])
    fw.close(metric.result(), full_data_f1(*columns, "macro"), of="result after a refused merge")


# ---------------------------------------------------------------------- level 6


@long_streams_odd
@pytest.mark.parametrize("batch_size", [1, 202], ids=["one by one", "in one batch"])
def test_a_long_stream_is_counted_to_the_end(impl, fw, batch_size):
    """A hit of weight 2²⁴ in both classes, and then 200 misses of weight 1: none may be lost."""
    hits, misses = 2.0**24, 200
    y_true = np.array([0, 1] + [1] * misses)
    y_pred = np.eye(2)[[0, 1] + [0] * misses]
    metric = impl.F1Score(2, None)
    feed(fw, metric, batch_size, y_true, y_pred, np.array([hits, hits] + [1] * misses))
    expected = np.full(2, 2 * hits / (2 * hits + misses))
    fw.close(metric.result(), expected, of=f"result after 2²⁴ hits and {misses} misses", rtol=1e-6, atol=0)


@long_streams_odd
@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "bool"])
def test_weights_may_be_of_any_dtype(impl, fw, rng, dtype):
    """3000 weights up to 100 sum to more than float16 can hold."""
    y_true, y_pred = stream(rng, 3000, 3)
    weight = rng.integers(0, 2 if dtype == "bool" else 100, size=3000)
    metric = impl.F1Score(3)
    update(fw, metric, y_true, y_pred, weight, dtype)
    fw.close(metric.result(), full_data_f1(y_true, y_pred, "macro", weight), of=f"result with weights of {dtype}")


@long_streams_odd
@every_average
def test_only_the_ratios_of_the_weights_matter(impl, fw, rng, average):
    y_true, y_pred = stream(rng, 40, 3)
    weight = rng.uniform(1, 4, size=40)
    metric = impl.F1Score(3, average)
    update(fw, metric, y_true, y_pred, weight * 1e-12)
    expected = full_data_f1(y_true, y_pred, average, weight)
    fw.close(metric.result(), expected, of="result with weights of about 1e-12")


@long_streams_odd
def test_a_small_score_is_as_exact_as_a_large_one(impl, fw):
    """One hit among a million misses of each kind: nothing may be added to a denominator."""
    y_true, y_pred, weight = np.array([0, 0, 1]), np.eye(2)[[0, 1, 0]], np.array([1.0, 1e6, 1e6])
    metric = impl.F1Score(2, None)
    update(fw, metric, y_true, y_pred, weight)
    expected = full_data_f1(y_true, y_pred, None, weight)
    fw.close(metric.result(), expected, of="result of one hit among many misses", rtol=1e-4, atol=0)


@long_streams_odd
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_scores_are_compared_in_their_own_dtype(impl, fw, dtype):
    """Of two scores one is greater by the least step that the dtype has at 1."""
    y_pred = 1 + np.finfo(dtype).eps * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])
    y_true = np.array([0, 1, 2, 2])
    metric = impl.F1Score(3)
    metric.update_state(fw.array(y_true), fw.array(y_pred, dtype))
    fw.close(metric.result(), full_data_f1(y_true, y_pred, "macro"), of=f"result of scores in {dtype}")


# ---------------------------------------------------------------------- level 7


@no_loops_no
@pytest.mark.parametrize("average", [None, "weighted"], ids=["per class", "weighted"])
def test_no_loop_runs_over_samples_or_classes(impl, fw, rng, average):
    """As many tensor operations for 500 samples of 40 classes as for seven of three."""

    def operations(samples, classes):
        y_true, y_pred = stream(rng, samples, classes)
        batch = fw.array(y_true), fw.array(y_pred), fw.array(np.ones(samples))
        metric = impl.F1Score(classes, average)
        metric.update_state(*batch)
        return fw.count_ops(metric.update_state, *batch), fw.count_ops(metric.result)

    small, large = operations(7, 3), operations(500, 40)
    assert large[0] <= small[0], (
        f"update_state runs {large[0]} operations for a large batch, {small[0]} for a small one"
    )
    assert large[1] <= small[1], f"result runs {large[1]} operations for 40 classes, {small[1]} for three"


@no_loops_no
def test_no_batch_is_kept(impl, fw, rng):
    """Neither the tensors of a batch nor anything that `result` would have to go through again."""
    import gc
    import weakref

    metric = impl.F1Score(3)

    def update_once():
        batch = [fw.array(column) for column in (*stream(rng, 50, 3), np.ones(50))]
        metric.update_state(*batch)
        return [weakref.ref(tensor) for tensor in batch]

    update_once()
    before = fw.peak_bytes(metric.result)
    kept = [reference for _ in range(8) for reference in update_once()]
    if any(reference() is not None for reference in kept):
        gc.collect()  # a tensor in a cycle is not kept
    alive = sum(reference() is not None for reference in kept)
    assert not alive, f"the metric still holds {alive} tensors of the batches that it has counted"
    after = fw.peak_bytes(metric.result)
    assert after <= before, f"result needs {before} bytes after one batch and {after} after nine: what grows?"


# ---------------------------------------------------------------------- level 8


@home_framework
def test_counts_are_saved_and_loaded(impl, fw, rng):
    old, new = impl.F1Score(3), impl.F1Score(3)
    columns, more = stream(rng, 30, 3), stream(rng, 9, 3)
    update(fw, old, *columns)
    update(fw, new, *more)
    if fw.name == "torch":
        state = old.state_dict()
        assert state, "state_dict() is empty: register the counts as buffers"
        new.load_state_dict(state)
    else:
        assert old.variables, "the metric has no variables: make the counts by add_variable"
        for mine, theirs in zip(new.variables, old.variables, strict=True):
            mine.assign(theirs)
    fw.close(new.result(), full_data_f1(*columns, "macro"), of="result of a metric whose state was loaded")
    update(fw, new, *more)
    both = [np.concatenate(pair) for pair in zip(columns, more, strict=True)]
    fw.close(new.result(), full_data_f1(*both, "macro"), of="result of a batch after the loading")


@home_framework
@pytest.mark.parametrize("average", [None, "weighted"], ids=["per class", "weighted"])
def test_real_digits_are_evaluated_in_batches(impl, fw, rng, average):
    """scikit-learn's digits, scored by the distance to the mean of each class; by Model.evaluate in TensorFlow."""
    from sklearn.datasets import load_digits

    images, y_true = load_digits(return_X_y=True)
    means = np.stack([images[y_true == digit].mean(axis=0) for digit in range(10)])
    y_pred = -((images[:, None] - means) ** 2).sum(axis=2).astype("float32")
    weight = rng.uniform(0.5, 2, size=len(y_true)).astype("float32")
    expected = full_data_f1(y_true, y_pred, average, weight)
    metric = impl.F1Score(10, average)
    if fw.name == "torch":
        feed(fw, metric, 500, y_true, y_pred, weight)
        fw.close(metric.result(), expected)
        return

    import keras

    scores = keras.Input((10,))
    model = keras.Model(scores, keras.layers.Identity()(scores))
    model.compile(loss="sparse_categorical_crossentropy", weighted_metrics=[metric])
    for epoch in (1, 2):
        results = model.evaluate(y_pred, y_true, sample_weight=weight, batch_size=500, verbose=0, return_dict=True)
        assert "f1_score" in results, f"Model.evaluate gives {sorted(results)}: the metric's name must be 'f1_score'"
        actual = np.asarray(results["f1_score"])
        wrong = f"Model.evaluate gives {actual} in round {epoch}, but all samples at once give {expected}"
        assert np.allclose(actual, expected, rtol=1e-4, atol=1e-5), wrong


# ---------------------------------------------------------------------- GPU


@pytest.mark.gpu
@one_batch
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    if gpu.device == "mps":
        pytest.skip("this GPU knows no float64")
    y_true, y_pred = stream(rng, 40, 3)
    metric = impl.F1Score(3)
    if gpu.name == "torch":
        metric.to(gpu.device)
    update(gpu, metric, y_true, y_pred, np.ones(40))
    gpu.check_device(metric.result())
    gpu.close(metric.result(), full_data_f1(y_true, y_pred, "macro"))
