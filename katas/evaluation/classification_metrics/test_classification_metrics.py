"""Levels of the classification_metrics kata. Expected values come from `by_hand`, which counts sample by sample in
plain Python, and from scikit-learn.
"""

import math

import numpy as np
import pytest

from dojo import level

shapes_refusals = level(1, "shapes and refusals")
one_class_time = level(2, "one class at a time", points=2)
averages = level(3, "averages", points=2)
nothing_divide = level(4, "nothing to divide by", points=2)
sample_weights = level(5, "sample weights", points=2)
any_labels_no = level(6, "any labels, no loops")
model_batches = level(7, "a model in batches", points=2)

AVERAGES = [None, "micro", "macro", "weighted"]
METRICS = ["precision", "recall", "f_beta"]
EACH_AVERAGE = pytest.mark.parametrize("average", AVERAGES, ids=["per class", "micro", "macro", "weighted"])
EACH_METRIC = pytest.mark.parametrize("metric", METRICS)


# -------------------------------------------------------------------- the oracle


def divided(metric, hits, predicted, actual, beta, zero_division):
    """One class's score, as its sentence reads."""
    top, bottom = {
        "precision": (hits, predicted),
        "recall": (hits, actual),
        "f_beta": ((1 + beta**2) * hits, predicted + beta**2 * actual),
    }[metric]
    return top / bottom if bottom else zero_division


def by_hand(metric, y_true, y_pred, beta=1.0, average="macro", zero_division=0.0, sample_weight=None):
    """One of the scores, counted sample by sample; "accuracy" too."""
    weights = [1.0] * len(y_true) if sample_weight is None else [float(w) for w in sample_weight]
    y_true, y_pred = np.asarray(y_true).tolist(), np.asarray(y_pred).tolist()
    samples = list(zip(y_true, y_pred, weights, strict=True))
    if metric == "accuracy":
        return sum(w for t, p, w in samples if t == p) / sum(weights)
    counts = [
        (
            sum(w for t, p, w in samples if t == p == k),
            sum(w for t, p, w in samples if p == k),
            sum(w for t, p, w in samples if t == k),
        )
        for k in sorted({*y_true, *y_pred})
    ]
    if average == "micro":
        return divided(metric, *(sum(column) for column in zip(*counts, strict=True)), beta, zero_division)
    scores = [divided(metric, *count, beta, zero_division) for count in counts]
    if average is None:
        return scores
    shares = [actual if average == "weighted" else 1 for _, _, actual in counts]
    kept = [(score, share) for score, share in zip(scores, shares, strict=True) if not math.isnan(score)]
    if not kept:
        return math.nan
    total = sum(share for _, share in kept)
    return sum(s * share for s, share in kept) / total if total else sum(s for s, _ in kept) / len(kept)


def official(metric, y_true, y_pred, beta=1.0, **options):
    """The same from scikit-learn."""
    import sklearn.metrics as official

    if metric == "accuracy":
        return official.accuracy_score(y_true, y_pred, sample_weight=options.get("sample_weight"))
    options = {"average": "macro", "zero_division": 0.0} | options
    if metric == "f_beta":
        return official.fbeta_score(y_true, y_pred, beta=beta, **options)
    return {"precision": official.precision_score, "recall": official.recall_score}[metric](y_true, y_pred, **options)


def check_both(impl, fw, metric, y_true, y_pred, **options):
    """The learner's score beside the two oracles, which have to agree."""
    expected = by_hand(metric, y_true, y_pred, **options)
    np.testing.assert_allclose(official(metric, y_true, y_pred, **options), expected, rtol=1e-12)
    check(impl, fw, metric, y_true, y_pred, **options)


def check(impl, fw, metric, y_true, y_pred, **options):
    """The learner's score beside the one by hand; the arguments stay as they are."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    weight = options.get("sample_weight")
    kept = y_true.copy(), y_pred.copy(), np.copy(weight)
    expected = np.array(by_hand(metric, y_true, y_pred, **options), "float64")
    call = ", ".join(f"{name}={value!r}" for name, value in options.items() if name != "sample_weight")
    fw.close(getattr(impl, metric)(y_true, y_pred, **options), expected, of=f"{metric}({call})", dtype="float64")
    fw.check_unchanged(y_true, kept[0], of="y_true")
    fw.check_unchanged(y_pred, kept[1], of="y_pred")
    if weight is not None:
        fw.check_unchanged(weight, kept[2], of="sample_weight")


def labels_of(rng, count, classes, right=0.5):
    """True and predicted labels; about `right` of the predictions agree, and every class occurs in both."""
    y_true = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes) ** 2 // classes])
    y_pred = np.where(rng.random(count) < right, y_true, rng.integers(0, classes, count))
    y_pred[rng.permutation(count)[:classes]] = np.arange(classes)
    return y_true, y_pred


# -------------------------------------------------------------------- 1 shapes and refusals


@shapes_refusals
@pytest.mark.parametrize(("count", "classes"), [(1, 1), (7, 2), (41, 5)])
def test_accuracy_is_the_share_that_is_right(impl, fw, rng, count, classes):
    check(impl, fw, "accuracy", *labels_of(rng, count, classes))


@shapes_refusals
@pytest.mark.parametrize("metric", ["accuracy", *METRICS])
@pytest.mark.parametrize(
    "shapes",
    [((3,), (4,)), ((3,), (3, 1)), ((3, 1), (3, 1)), ((3,), (1,)), ((0,), (0,))],
    ids=["lengths", "a column", "two columns", "one prediction", "no sample"],
)
def test_labels_that_do_not_fit_are_refused(impl, fw, metric, shapes):
    with pytest.raises(ValueError):
        getattr(impl, metric)(*(np.zeros(shape, int) for shape in shapes))


@shapes_refusals
@pytest.mark.parametrize("metric", ["accuracy", *METRICS])
@pytest.mark.parametrize(
    "weight",
    [np.ones(4), np.ones((3, 1)), np.ones(1), np.array([1.0, -0.5, 1.0]), np.zeros(3)],
    ids=["too many", "a column", "one", "negative", "all zero"],
)
def test_weights_that_do_not_fit_are_refused(impl, fw, metric, weight):
    with pytest.raises(ValueError):
        getattr(impl, metric)(np.array([0, 1, 1]), np.array([0, 1, 0]), sample_weight=weight)


@shapes_refusals
@EACH_METRIC
@pytest.mark.parametrize("average", ["binary", "mean", "Macro"])
def test_an_unknown_average_is_refused(impl, fw, metric, average):
    with pytest.raises(ValueError):
        getattr(impl, metric)(np.array([0, 1]), np.array([0, 0]), average=average)


@shapes_refusals
def test_a_negative_beta_is_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.f_beta(np.array([0, 1]), np.array([0, 0]), beta=-1.0)


# -------------------------------------------------------------------- 2 one class at a time


@one_class_time
@EACH_METRIC
@pytest.mark.parametrize(("count", "classes"), [(3, 1), (11, 2), (60, 3), (101, 7)])
def test_each_class_has_its_score(impl, fw, rng, metric, count, classes):
    check(impl, fw, metric, *labels_of(rng, count, classes), average=None)


@one_class_time
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0, 3.0])
def test_beta_weighs_recall_against_precision(impl, fw, rng, beta):
    check(impl, fw, "f_beta", *labels_of(rng, 80, 4), beta=beta, average=None)


@one_class_time
def test_a_perfect_prediction_scores_one(impl, fw, rng):
    y_true, _ = labels_of(rng, 30, 4)
    for metric in METRICS:
        check(impl, fw, metric, y_true, y_true.copy(), average=None)


# -------------------------------------------------------------------- 3 averages


@averages
@EACH_METRIC
@EACH_AVERAGE
@pytest.mark.parametrize(("count", "classes"), [(12, 2), (101, 6)])
def test_each_average_is_the_official_one(impl, fw, rng, metric, average, count, classes):
    check_both(impl, fw, metric, *labels_of(rng, count, classes), average=average)


@averages
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_an_average_of_f_is_not_the_f_of_averages(impl, fw, rng, average):
    check(impl, fw, "f_beta", *labels_of(rng, 60, 5, right=0.3), beta=2.0, average=average)


@averages
@EACH_METRIC
def test_the_mean_over_the_classes_is_the_default(impl, fw, rng, metric):
    check(impl, fw, metric, *labels_of(rng, 50, 3))


# -------------------------------------------------------------------- 4 nothing to divide by

UNDEFINED = {
    "never predicted": ([0, 0, 1, 2, 2], [0, 0, 1, 1, 0]),
    "never true": ([0, 0, 1, 1, 0], [0, 0, 1, 2, 2]),
    "all different": ([0, 0, 1, 1], [2, 2, 3, 3]),
    "one against one": ([0, 0, 0], [1, 1, 1]),
    "a gap in the labels": ([0, 0, 5, 5], [0, 5, 5, 0]),
}


@nothing_divide
@EACH_METRIC
@EACH_AVERAGE
@pytest.mark.parametrize("labels", UNDEFINED.values(), ids=UNDEFINED)
def test_nothing_divided_by_nothing_is_what_was_asked_for(impl, fw, metric, average, labels):
    for zero_division in (0.0, 1.0):
        check(impl, fw, metric, *labels, average=average, zero_division=zero_division)


@nothing_divide
@EACH_METRIC
@EACH_AVERAGE
@pytest.mark.parametrize("labels", UNDEFINED.values(), ids=UNDEFINED)
def test_what_is_undefined_can_be_left_out(impl, fw, metric, average, labels):
    check_both(impl, fw, metric, *labels, average=average, zero_division=np.nan)


@nothing_divide
@EACH_METRIC
def test_the_default_is_zero(impl, fw, metric):
    for labels in UNDEFINED.values():
        fw.close(
            getattr(impl, metric)(*map(np.array, labels), average=None),
            np.array(by_hand(metric, *labels, average=None)),
            of=metric,
            dtype="float64",
        )


@nothing_divide
@EACH_METRIC
@EACH_AVERAGE
@pytest.mark.filterwarnings("error")
def test_nobody_is_warned_of_a_division(impl, fw, metric, average):
    """With beta = 0 the F score is the precision, and as often undefined."""
    options = {"average": average} | ({"beta": 0.0} if metric == "f_beta" else {})
    for labels in UNDEFINED.values():
        check(impl, fw, metric, *labels, zero_division=1.0, **options)
        check(impl, fw, metric, *labels, zero_division=np.nan, **options)


# -------------------------------------------------------------------- 5 sample weights


@sample_weights
@pytest.mark.parametrize("metric", ["accuracy", *METRICS])
@EACH_AVERAGE
def test_a_sample_counts_its_weight(impl, fw, rng, metric, average):
    options = {"sample_weight": rng.exponential(size=70)}
    check_both(
        impl, fw, metric, *labels_of(rng, 70, 4), **options | ({} if metric == "accuracy" else {"average": average})
    )


@sample_weights
@EACH_METRIC
@EACH_AVERAGE
def test_a_weight_of_three_is_three_samples(impl, fw, rng, metric, average):
    y_true, y_pred = labels_of(rng, 40, 4)
    times = rng.integers(0, 4, 40)
    expected = by_hand(metric, np.repeat(y_true, times), np.repeat(y_pred, times), average=average)
    weighted = getattr(impl, metric)(y_true, y_pred, average=average, sample_weight=times)
    fw.close(weighted, np.array(expected, "float64"), of=f"{metric} with weights", dtype="float64")


@sample_weights
@EACH_METRIC
@EACH_AVERAGE
@pytest.mark.parametrize("zero_division", [0.0, 1.0, np.nan])
def test_a_class_without_weight_is_undefined(impl, fw, metric, average, zero_division):
    weight = np.array([2.0, 1.0, 0.0, 0.0, 0.5])
    y_true, y_pred = [0, 1, 2, 2, 1], [0, 1, 2, 2, 0]
    check(impl, fw, metric, y_true, y_pred, average=average, zero_division=zero_division, sample_weight=weight)
    check(impl, fw, metric, y_true, y_pred, average=average, sample_weight=weight)


@sample_weights
@pytest.mark.parametrize("metric", ["accuracy", *METRICS])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "float32", "float64"])
def test_weights_of_any_dtype_are_summed_in_float64(impl, fw, rng, metric, dtype):
    y_true, y_pred = labels_of(rng, 3000, 3)
    weight = (rng.random(3000) < 0.7).astype(dtype) * (1 if dtype == "bool" else np.array(3, dtype))
    expected = np.array(by_hand(metric, y_true, y_pred, sample_weight=weight.astype("float64")))
    found = getattr(impl, metric)(y_true, y_pred, sample_weight=weight)
    fw.close(found, expected, of=f"{metric} with {dtype} weights", dtype="float64")


@sample_weights
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_only_ratios_of_weights_matter(impl, fw, rng, scale):
    y_true, y_pred = labels_of(rng, 50, 3)
    weight = rng.exponential(size=50)
    for metric in ("accuracy", *METRICS):
        expected = np.array(by_hand(metric, y_true, y_pred, sample_weight=weight))
        found = getattr(impl, metric)(y_true, y_pred, sample_weight=weight * scale)
        fw.close(found, expected, of=f"{metric} with weights times {scale:g}", dtype="float64")


# -------------------------------------------------------------------- 6 any labels, no loops

NAMES = {
    "strings": np.array(["ant", "bee", "cat", "a"]),
    "negative": np.array([-7, 3, -1, 0]),
    "huge": np.array([10**12, 5, -(10**15), 7]),
    "int8": np.array([127, -128, 0, 5], "int8"),
    "unsigned": np.array([200, 255, 0, 5], "uint8"),
}


@any_labels_no
@EACH_METRIC
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_labels_may_be_anything_that_sorts(impl, fw, rng, metric, names):
    y_true, y_pred = (names[labels] for labels in labels_of(rng, 40, 4))
    check(impl, fw, metric, y_true, y_pred, average=None)
    check(impl, fw, metric, y_true, y_pred, average="weighted")


@any_labels_no
@EACH_METRIC
def test_labels_of_two_dtypes_and_strides_are_the_same_labels(impl, fw, rng, metric):
    y_true, y_pred = labels_of(rng, 40, 4)
    table = np.stack([y_pred, y_true], axis=1).astype("uint8")
    check(impl, fw, metric, y_true, table[:, 0], average=None)
    words = np.array(["no", "yes", "perhaps"])
    check(impl, fw, metric, words[[0, 1, 1, 0]], words[[0, 1, 2, 2]], average=None)
    check(impl, fw, metric, words[:2][[0, 1, 1, 0]].astype("<U3"), words[[0, 1, 2, 2]], average=None)


@any_labels_no
@EACH_METRIC
def test_no_loop_over_samples_or_classes(impl, fw, rng, metric):
    few = fw.count_ops(getattr(impl, metric), *labels_of(rng, 12, 2))
    many = fw.count_ops(getattr(impl, metric), *labels_of(rng, 3000, 300))
    assert many <= few, f"{many} lines run for 3000 samples of 300 classes, {few} for 12 samples of 2"


@any_labels_no
@EACH_METRIC
def test_many_classes_need_no_table(impl, fw, rng, metric):
    """20 000 classes and samples: a table of one against the other has 400 million entries."""
    y_true, y_pred = labels_of(rng, 20_000, 10_000)
    needed = fw.peak_bytes(lambda: getattr(impl, metric)(y_true, y_pred * 2, average=None))
    assert needed < 20e6, f"{metric} needs {needed / 1e6:.0f} MB for 20 000 samples; 5 MB are plenty"


# -------------------------------------------------------------------- 7 a model in batches


def cut(arrays, lengths):
    """Batches of these lengths."""
    ends = np.cumsum(lengths)
    return [tuple(array[end - length : end] for array in arrays) for end, length in zip(ends, lengths, strict=True)]


def check_evaluation(impl, fw, predict, batches, y_true, scores, weight=None, **options):
    y_pred = scores.argmax(axis=1)
    found = impl.evaluate(predict, batches, **options)
    names = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "f_beta"}
    assert set(found) == set(names), f"evaluate returns the entries {sorted(found)}, and should return {sorted(names)}"
    for name, metric in names.items():
        expected = by_hand(metric, y_true, y_pred, sample_weight=weight, **options)
        assert isinstance(found[name], float), f"{name} is no Python float, but {type(found[name]).__name__}"
        fw.close(np.float64(found[name]), np.float64(expected), of=name, dtype="float64")


@model_batches
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("lengths", [[60], [20, 20, 20], [25, 25, 10], [1, 58, 1], [7] * 8 + [4]])
def test_the_batches_do_not_matter(impl, fw, rng, average, lengths):
    """The score of each batch is another, and their mean is not the score of all."""
    y_true, scores = labels_of(rng, 60, 4)[0], rng.standard_normal((60, 4))
    batches = cut((scores, y_true), lengths)
    check_evaluation(impl, fw, lambda x: x, batches, y_true, scores, average=average)


@model_batches
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_the_weights_of_samples_arrive(impl, fw, rng, average):
    y_true, scores, weight = labels_of(rng, 60, 4)[0], rng.standard_normal((60, 4)), rng.exponential(size=60)
    batches = cut((scores, y_true, weight), [25, 25, 10])
    check_evaluation(impl, fw, lambda x: x, batches, y_true, scores, weight, average=average)


@model_batches
@pytest.mark.parametrize("zero_division", [0.0, 1.0, np.nan])
def test_the_choice_for_undefined_scores_arrives(impl, fw, zero_division):
    y_true, scores = np.array([0, 0, 1, 1]), np.eye(4)[[0, 2, 1, 2]]
    batches = cut((scores, y_true), [3, 1])
    check_evaluation(impl, fw, lambda x: x, batches, y_true, scores, zero_division=zero_division)
    check_evaluation(impl, fw, lambda x: x, batches, y_true, scores)


@model_batches
def test_a_generator_is_read_once_and_the_model_called_once_a_batch(impl, fw, rng):
    y_true, scores, lengths = labels_of(rng, 23, 3)[0], rng.standard_normal((23, 3)), []

    def predict(x):
        lengths.append(len(x))
        return x

    batches = (batch for batch in cut((scores, y_true), [10, 10, 3]))
    check_evaluation(impl, fw, predict, batches, y_true, scores)
    assert lengths == [10, 10, 3], f"the model saw batches of {lengths} samples instead of [10, 10, 3]"


@model_batches
@pytest.mark.parametrize("average", [None, "binary"])
def test_an_average_that_gives_no_number_is_refused(impl, fw, rng, average):
    with pytest.raises(ValueError):
        impl.evaluate(lambda x: x, [(np.eye(3), np.arange(3))], average=average)


@model_batches
def test_no_batch_at_all_is_refused(impl, fw):
    with pytest.raises(ValueError):
        impl.evaluate(lambda x: x, iter([]))


@model_batches
def test_digits_told_apart_by_their_nearest_mean(impl, fw):
    """Real digits: the means of 1000 score the other 797. Who always says 1 has a tenth of the accuracy right."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    means = np.stack([pixels[:1000][digits[:1000] == k].mean(axis=0) for k in range(10)])

    def predict(x):
        return -((x[:, None] - means) ** 2).sum(axis=-1)

    batches = cut((pixels[1000:], digits[1000:]), [64] * 12 + [29])
    check_evaluation(impl, fw, predict, batches, digits[1000:], predict(pixels[1000:]))
    found = impl.evaluate(predict, batches)
    always_one = impl.evaluate(lambda x: np.eye(10)[np.ones(len(x), int)], batches)
    assert found["accuracy"] > 0.8, f"the nearest mean is right in {found['accuracy']:.0%} of the digits"
    assert always_one["accuracy"] < 0.15, f"saying 1 is right in {always_one['accuracy']:.0%} of the digits"
    assert always_one["f1"] < 0.03, f"saying 1 has an F1 of {always_one['f1']:.2f} as a mean over the classes"
