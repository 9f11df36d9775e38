"""Levels of the streaming_f1 kata. Expected values are scikit-learn's, on all samples at once, in float64."""

import gc
import weakref

import numpy as np
import pytest

from dojo import level
from dojo.testing import data

refusals = level(1, "shapes and refusals")
one_batch = level(2, "one batch", points=2)
any_batching = level(3, "any batching", points=3)
sample_weights = level(4, "sample weights", points=2)
reset_and_merge = level(5, "reset and merge", points=2)
odd_numbers = level(6, "long streams, odd numbers")
no_growth = level(7, "no loops, no growth")
at_home = level(8, "at home in the framework")

EMPTY = np.zeros(0, int), np.zeros((0, 3))
AVERAGES = [None, "micro", "macro", "weighted"]
SENSELESS = {"mean": (3, "mean"), "binary": (3, "binary"), "one class": (1, "macro"), "no class": (0, None)}

every_average = pytest.mark.parametrize("average", AVERAGES, ids=["per class", *AVERAGES[1:]])
two_averages = pytest.mark.parametrize("average", [None, "weighted"], ids=["per class", "weighted"])


def stream(rng, samples, classes, weights=None):
    """Labels, scores (logits) that favour the right class a little, and weights from this interval if it is given."""
    y_true = rng.integers(classes, size=samples)
    y_pred = rng.standard_normal((samples, classes)) + 1.5 * np.eye(classes)[y_true] - 2
    return (y_true, y_pred) if weights is None else (y_true, y_pred, rng.uniform(*weights, size=samples))


def part(columns, start, stop=None):
    return [column[start:stop] for column in columns]


def feed(fw, metric, columns, batch_size=None):
    """Update the metric with the columns in batches, by default with all at once; the last one may be smaller."""
    samples = len(columns[0])
    for start in range(0, samples, batch_size or max(samples, 1)):
        y_true, y_pred, *weight = map(fw.array, part(columns, start, start + (batch_size or samples)))
        metric.update_state(y_true, y_pred, sample_weight=weight[0] if weight else None)


def check(fw, found, average, columns, of="result", **tolerances):
    """What was found is the F1 of all samples at once; a class that neither occurs nor is predicted scores 0."""
    from sklearn.metrics import f1_score

    y_true, y_pred, weight = columns if len(columns) == 3 else (*columns, np.ones(len(columns[0])))
    options = {"labels": np.arange(y_pred.shape[1]), "average": average, "sample_weight": weight, "zero_division": 0}
    expected = np.zeros(y_pred.shape[1] if average is None else ())
    if len(y_true):
        expected = np.asarray(f1_score(y_true, y_pred.argmax(axis=1), **options), "float64")
    fw.close(found, expected, of=of, **tolerances)


def check_fed(fw, metric, average, columns, batch_size=None, **options):
    """A new metric that gets the columns in batches scores what all samples at once do."""
    feed(fw, metric, columns, batch_size)
    check(fw, metric.result(), average, columns, **options)


@refusals
@every_average
def test_nothing_counted_scores_zero(impl, fw, average):
    check(fw, impl.F1Score(3, average).result(), average, EMPTY, of="result of a new metric")


@refusals
@every_average
def test_right_predictions_score_one(impl, fw, average):
    y_true = np.array([3, 0, 1, 2, 0])
    check_fed(fw, impl.F1Score(4, average), average, (y_true, 5 * np.eye(4)[y_true]), of="result of right predictions")


@refusals
@pytest.mark.parametrize("arguments", SENSELESS.values(), ids=SENSELESS)
def test_a_metric_that_makes_no_sense_is_refused(impl, fw, arguments):
    with pytest.raises(ValueError):
        impl.F1Score(*arguments)


@refusals
@pytest.mark.parametrize(
    "shapes",
    [((5,), (5, 4)), ((5,), (6, 3)), ((5, 1), (5, 3)), ((5, 2), (5, 2, 3)), ((5,), (5,)),
     ((5,), (5, 3), (5, 1)), ((5,), (5, 3), (4,)), ((5,), (5, 3), ())],
    ids=["more classes", "more scores", "column of labels", "grid of labels", "no scores", "column of weights",
         "fewer weights", "one weight"],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(impl, fw, shapes):
    metric, weights = impl.F1Score(3), [fw.array(np.ones(shape)) for shape in shapes[2:]]
    with pytest.raises(ValueError):
        metric.update_state(fw.array(np.zeros(shapes[0], int)), fw.array(np.ones(shapes[1])), *weights)


@one_batch
@every_average
@pytest.mark.parametrize("samples, classes", [(40, 3), (31, 2), (9, 7), (1, 2)])
def test_one_batch_gives_the_formula(impl, fw, rng, average, samples, classes):
    check_fed(fw, impl.F1Score(classes, average), average, stream(rng, samples, classes))


@one_batch
@every_average
def test_a_class_that_never_occurs_scores_zero(impl, fw, rng, average):
    """Of five classes one is never there, one never predicted, and one neither."""
    scores = rng.standard_normal((30, 5)) - np.array([0, 0, 0, 9, 9])
    check_fed(fw, impl.F1Score(5, average), average, (rng.choice([0, 1, 3], size=30), scores))


@one_batch
@every_average
def test_no_hit_at_all_scores_zero(impl, fw, average):
    check_fed(fw, impl.F1Score(3, average), average, (np.array([0, 1, 2, 2]), np.eye(3)[[1, 2, 0, 1]]))


@one_batch
def test_the_average_is_macro_unless_told(impl, fw, rng):
    check_fed(fw, impl.F1Score(4), "macro", stream(rng, 20, 4))


@any_batching
@every_average
@pytest.mark.parametrize("batch_size", [1, 8], ids=["ones", "eights"])
def test_any_batch_size_gives_the_value_of_all_samples(impl, fw, rng, average, batch_size):
    check_fed(fw, impl.F1Score(4, average), average, stream(rng, 35, 4), batch_size)


@any_batching
@every_average
def test_the_result_may_be_read_after_each_batch(impl, fw, rng, average):
    """Uneven batches, one of them empty, the classes in order: the value is always that of all samples so far."""
    metric, (y_true, y_pred) = impl.F1Score(3, average), stream(rng, 50, 3)
    order = np.argsort(y_true, kind="stable")
    columns = y_true[order], y_pred[order]
    for start, stop in [(0, 1), (1, 20), (20, 20), (20, 23), (23, 50)]:
        metric.update_state(*map(fw.array, part(columns, start, stop)))
        for story in (f"result after {stop} samples", f"result after {stop} samples, read once more"):
            check(fw, metric.result(), average, part(columns, 0, stop), of=story)


@any_batching
def test_arguments_are_not_written_to(impl, fw, rng):
    metric, arrays = impl.F1Score(3), stream(rng, 12, 3, weights=(0.1, 2))
    tensors = [fw.array(array) for array in arrays]
    metric.update_state(*tensors)
    metric.result()
    fw.check_all_unchanged(tensors, arrays, ["y_true", "y_pred", "sample_weight"])


@sample_weights
@every_average
def test_a_sample_counts_as_much_as_it_weighs(impl, fw, rng, average):
    check_fed(fw, impl.F1Score(4, average), average, stream(rng, 45, 4, weights=(0, 5)), batch_size=8)


@sample_weights
@every_average
def test_without_weights_each_sample_of_a_batch_weighs_one(impl, fw, rng, average):
    metric, columns = impl.F1Score(3, average), stream(rng, 40, 3, weights=(2, 9))
    columns[2][:15] = 1
    feed(fw, metric, part(columns[:2], 0, 15))
    feed(fw, metric, part(columns, 15))
    check(fw, metric.result(), average, columns)


@sample_weights
@every_average
def test_samples_of_no_weight_are_as_if_absent(impl, fw, rng, average):
    metric, columns = impl.F1Score(3, average), stream(rng, 30, 3)
    feed(fw, metric, (*columns, np.zeros(30)))
    check(fw, metric.result(), average, EMPTY, of="result where every weight is zero")
    weight = (np.arange(30) % 3 > 0).astype(float)
    feed(fw, metric, (*columns, weight))
    check(fw, metric.result(), average, [column[weight > 0] for column in columns])


@reset_and_merge
@every_average
def test_a_reset_forgets_everything(impl, fw, rng, average):
    metric = impl.F1Score(3, average)
    feed(fw, metric, stream(rng, 25, 3, weights=(1, 3)))
    metric.reset_state()
    check(fw, metric.result(), average, EMPTY, of="result after a reset")
    check_fed(fw, metric, average, stream(rng, 14, 3), of="result of what came after a reset")


@reset_and_merge
def test_two_metrics_count_apart(impl, fw, rng):
    first, second, columns = impl.F1Score(3), impl.F1Score(3), stream(rng, 20, 3)
    feed(fw, first, columns)
    check_fed(fw, second, "macro", stream(rng, 20, 3), of="result of the second of two metrics")
    check(fw, first.result(), "macro", columns, of="result of the first of two metrics")


@reset_and_merge
@every_average
def test_merged_metrics_give_the_value_of_all_samples(impl, fw, rng, average):
    """Three workers and one that saw nothing, from a generator; then the merged metric counts on."""
    columns = stream(rng, 60, 4, weights=(0.2, 3))
    metric, *others = [impl.F1Score(4, average) for _ in range(4)]
    for worker, (start, stop) in zip([metric, *others], [(0, 25), (25, 29), (29, 44), (44, 44)], strict=True):
        feed(fw, worker, part(columns, start, stop), batch_size=6)
    metric.merge_state(other for other in others)
    check(fw, metric.result(), average, part(columns, 0, 44), of="result after merging a generator of metrics")
    feed(fw, metric, part(columns, 44))
    check(fw, metric.result(), average, columns, of="result of a batch after the merge")


@reset_and_merge
def test_merged_metrics_stay_as_they_were(impl, fw, rng):
    """Also when the one that they were merged into counts on, or is reset."""
    metric, other, columns = impl.F1Score(3), impl.F1Score(3), stream(rng, 20, 3)
    feed(fw, other, columns)
    metric.merge_state([other])
    feed(fw, metric, stream(rng, 20, 3))
    check(fw, other.result(), "macro", columns, of="result of a metric that was merged into another")
    metric.reset_state()
    check(fw, other.result(), "macro", columns, of="result of a metric that was merged into another")


@reset_and_merge
def test_a_metric_of_other_classes_is_not_merged(impl, fw, rng):
    metric, fitting, columns = impl.F1Score(3), impl.F1Score(3), stream(rng, 20, 3)
    feed(fw, metric, columns)
    feed(fw, fitting, stream(rng, 20, 3))
    with pytest.raises(ValueError):
        metric.merge_state([fitting, impl.F1Score(4)])
    check(fw, metric.result(), "macro", columns, of="result after a refused merge")


@odd_numbers
@pytest.mark.parametrize("batch_size", [1, 202], ids=["one by one", "in one batch"])
def test_a_long_stream_is_counted_to_the_end(impl, fw, batch_size):
    """A hit of weight 2²⁴ in both classes, and then 200 misses of weight 1: none may be lost."""
    y_true, guess = np.array([0, 1] + [1] * 200), [0, 1] + [0] * 200
    columns = y_true, np.eye(2)[guess], np.array([2.0**24] * 2 + [1] * 200)
    check_fed(fw, impl.F1Score(2, None), None, columns, batch_size, rtol=1e-6, atol=0)


@odd_numbers
@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "bool"])
def test_weights_may_be_of_any_dtype(impl, fw, rng, dtype):
    """3000 weights up to 100 sum to more than float16 can hold."""
    metric, columns = impl.F1Score(3), stream(rng, 3000, 3)
    weight = rng.integers(0, 2 if dtype == "bool" else 100, size=3000)
    metric.update_state(*map(fw.array, columns), sample_weight=fw.array(weight, dtype))
    check(fw, metric.result(), "macro", (*columns, weight), of=f"result with weights of {dtype}")


@odd_numbers
@every_average
def test_only_the_ratios_of_the_weights_matter(impl, fw, rng, average):
    columns = stream(rng, 40, 3, weights=(1e-12, 4e-12))
    check_fed(fw, impl.F1Score(3, average), average, columns, of="result with weights of about 1e-12")


@odd_numbers
def test_a_small_score_is_as_exact_as_a_large_one(impl, fw):
    """One hit among a million misses of each kind: nothing may be added to a denominator."""
    columns = np.array([0, 0, 1]), np.eye(2)[[0, 1, 0]], np.array([1.0, 1e6, 1e6])
    check_fed(fw, impl.F1Score(2, None), None, columns, of="result of one hit among many misses", rtol=1e-4, atol=0)


@odd_numbers
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_scores_are_compared_in_their_own_dtype(impl, fw, dtype):
    """Of two scores one is greater by the least step that the dtype has at 1."""
    y_pred = 1 + fw.epsilon(dtype) * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])
    metric, y_true = impl.F1Score(3), np.array([0, 1, 2, 2])
    metric.update_state(fw.array(y_true), fw.array(y_pred, dtype))
    check(fw, metric.result(), "macro", (y_true, y_pred), of=f"result of scores in {dtype}")


@no_growth
@two_averages
def test_no_loop_runs_over_samples_or_classes(impl, fw, rng, average):
    cases = []
    for samples, classes in ((7, 3), (500, 40)):
        metric, batch = impl.F1Score(classes, average), stream(rng, samples, classes, weights=(1, 2))
        feed(fw, metric, batch)
        cases.append([metric, *batch])
    fw.check_no_loops(lambda metric, *batch: metric.update_state(*batch), *cases, of="update_state")
    fw.check_no_loops(lambda metric, *batch: metric.result(), *cases, of="result")


@no_growth
def test_no_batch_is_kept(impl, fw, rng):
    """Neither the tensors of a batch nor anything that `result` would have to go through again."""
    metric = impl.F1Score(3)

    def update_once():
        batch = [fw.array(column) for column in stream(rng, 50, 3, weights=(1, 2))]
        metric.update_state(*batch)
        return [weakref.ref(tensor) for tensor in batch]

    update_once()
    before = fw.peak_bytes(metric.result)
    kept = [reference for _ in range(8) for reference in update_once()]
    gc.collect()  # a tensor in a cycle is not kept
    alive = sum(reference() is not None for reference in kept)
    assert not alive, f"the metric still holds {alive} tensors of the batches that it has counted"
    after = fw.peak_bytes(metric.result)
    assert after <= before, f"result needs {before} bytes after one batch and {after} after nine: what grows?"


@at_home
def test_counts_are_saved_and_loaded(impl, fw, rng):
    old, new = impl.F1Score(3), impl.F1Score(3)
    columns, more = stream(rng, 30, 3), stream(rng, 9, 3)
    feed(fw, old, columns)
    feed(fw, new, more)
    saved = fw.variables(old).values()
    assert saved, "nothing is saved with the metric: register the counts with the framework"
    for variable, value in zip(fw.variables(new).values(), saved, strict=True):
        fw.assign(variable, fw.numpy(value), of="what is saved with the metric")
    check(fw, new.result(), "macro", columns, of="result of a metric whose state was loaded")
    feed(fw, new, more)
    both = [np.concatenate(pair) for pair in zip(columns, more, strict=True)]
    check(fw, new.result(), "macro", both, of="result of a batch after the loading")


def evaluate_in_keras(fw, metric, columns, batch_size):
    import keras

    (y_true, y_pred, weight), scores = columns, keras.Input((10,))
    model = keras.Model(scores, keras.layers.Identity()(scores))
    model.compile(loss="sparse_categorical_crossentropy", weighted_metrics=[metric])
    found = model.evaluate(y_pred, y_true, batch_size, sample_weight=weight, verbose=0, return_dict=True)
    assert "f1_score" in found, f"Model.evaluate gives {sorted(found)}: the metric's name must be 'f1_score'"
    fw.close(metric.result(), np.asarray(found["f1_score"]), of="result, after Model.evaluate gave another,")


EVALUATE = {"torch": feed, "tensorflow": evaluate_in_keras}


@at_home
@two_averages
def test_real_digits_are_evaluated_in_batches(impl, fw, rng, average):
    """Digits scored by the distance to the mean of each class; by Model.evaluate in TensorFlow."""
    metric, (images, labels) = impl.F1Score(10, average), data.digits()
    means = np.stack([images[labels == digit].mean(axis=0) for digit in range(10)])
    scores = -((images[:, None] - means) ** 2).sum(axis=2).astype("float32")
    columns = labels, scores, rng.uniform(0.5, 2, size=len(labels)).astype("float32")
    for epoch in (1, 2):
        metric.reset_state()
        EVALUATE[fw.name](fw, metric, columns, 500)
        check(fw, metric.result(), average, columns, of=f"result in round {epoch}")


@pytest.mark.gpu
@one_batch
def test_the_work_stays_on_the_gpu(impl, gpu, rng):
    if gpu.device == "mps":
        pytest.skip("this GPU knows no float64")
    metric, columns = gpu.to_device(impl.F1Score(3)), stream(rng, 40, 3)
    feed(gpu, metric, (*columns, np.ones(40)))
    gpu.check_device(metric.result())
    check(gpu, metric.result(), "macro", columns)
