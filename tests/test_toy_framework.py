"""A further framework is one adapter and its name in one place: shown with a toy that nobody has heard of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools.project_copy import copy_project

# The framework itself: its tensors are no NumPy arrays, and it differentiates nothing.
TOY = '''
"""A very small framework."""

import numpy as np

operations = 0


class Tensor:
    def __init__(self, values):
        self.values = np.asarray(values)

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)

    def __getitem__(self, index):
        return apply(lambda x: x[index], self)

    def __add__(self, other):
        return apply(np.add, self, other)

    def __sub__(self, other):
        return apply(np.subtract, self, other)

    def __mul__(self, other):
        return apply(np.multiply, self, other)

    def __truediv__(self, other):
        return apply(np.divide, self, other)

    def __matmul__(self, other):
        return apply(np.matmul, self, other)


def apply(function, *tensors):
    global operations
    operations += 1
    return Tensor(function(*(t.values if isinstance(t, Tensor) else t for t in tensors)))


def exp(t):
    return apply(np.exp, t)


def log(t):
    return apply(np.log, t)


def largest(t, axis):
    return apply(lambda x: x.max(axis=axis, keepdims=True), t)


def total(t, axis):
    return apply(lambda x: x.sum(axis=axis, keepdims=True), t)


def at_least(t, number):
    return apply(lambda x: np.maximum(x, number), t)


def where(condition, yes, no):
    return apply(np.where, condition, yes, no)


def swapped(t):
    return apply(lambda x: np.swapaxes(x, -1, -2), t)


def cast(t, dtype):
    return apply(lambda x: x.astype(dtype), t)
'''

LINE = '"tensorflow": ("tensorflow", "keras")'  # of dojo/curriculum/frameworks.py; the toy's name goes behind it

ADAPTER = '''
"""All that dojo knows about the toy framework."""

import random
import tracemalloc

import numpy as np
import toy

from dojo.testing.adapters.base import FrameworkAdapter


class Adapter(FrameworkAdapter):
    name = "toy"
    tensor_name = "toy.Tensor"

    def _tensor(self, x, dtype):
        return toy.Tensor(np.array(x, dtype))

    def numpy(self, t):
        return np.array(t.values)

    def is_tensor(self, value):
        return isinstance(value, toy.Tensor)

    def dtype_name(self, t):
        return t.dtype.name

    def device_of(self, t):
        return "cpu"

    def cast(self, t, dtype):
        return toy.cast(t, dtype)

    def sum(self, t, axis=None):
        return toy.apply(lambda x: x.sum(axis), t)

    def seed(self, n):
        random.seed(n)

    def gradients(self, loss, tensors):
        """By finite differences: the framework has nothing better."""
        return [self._gradient(loss, t.values) for t in tensors]

    def _gradient(self, loss, x, step=1e-5):
        gradient = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            before, ends = x[index], []
            for sign in (1, -1):
                x[index] = before + sign * step
                ends.append(loss().values)
            x[index] = before
            gradient[index] = (ends[0] - ends[1]) / (2 * step)
        return gradient

    def count_ops(self, f, *args):
        before = toy.operations
        f(*args)
        return toy.operations - before

    def peak_bytes(self, f, *args):
        tracemalloc.start()
        try:
            f(*args)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
'''

SOFTMAX = '''
"""Softmax, in the toy framework."""

import numpy as np
import toy


def softmax(logits, axis=-1, temperature=1.0):
    exps = toy.exp(_shifted(logits, axis, temperature))
    return toy.cast(exps / toy.at_least(toy.total(exps, axis), 1), logits.dtype)


def log_softmax(logits, axis=-1, temperature=1.0):
    shifted = _shifted(logits, axis, temperature)
    return toy.cast(shifted - toy.log(toy.at_least(toy.total(toy.exp(shifted), axis), 1)), logits.dtype)


def softmax_jvp(probabilities, vector, axis=-1, temperature=1.0):
    if probabilities.shape != vector.shape:
        raise ValueError("the shapes differ")
    mean = toy.total(probabilities * vector, axis)
    return probabilities * (vector - mean) / _positive(temperature)


def _shifted(logits, axis, temperature):
    logits = toy.cast(logits, np.promote_types(logits.dtype, "float32"))
    highest = toy.at_least(toy.largest(logits, axis), np.finfo(logits.dtype).min)
    return (logits - highest) / _positive(temperature)


def _positive(temperature):
    if temperature <= 0:
        raise ValueError("the temperature must be positive")
    return temperature
'''

ATTENTION = '''
"""Attention, in the toy framework."""

import numpy as np
import toy


def attention(query, key, value, mask=None):
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError("the arguments do not fit")
    scores = query @ toy.swapped(key) / query.dtype.type(query.shape[-1] ** 0.5)
    if mask is not None:
        scores = toy.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    weights = toy.exp(scores - toy.at_least(toy.largest(scores, -1), np.finfo(scores.dtype).min))
    weights = toy.cast(weights / toy.at_least(toy.total(weights, -1), 1), query.dtype)
    return weights @ value, weights
'''

STUB = '''
"""A stub, in the toy framework."""


def {name}(*args):
    raise NotImplementedError("{name} is yours to write")
'''


def track_of(project: Path, slug: str) -> str:
    return next(project.glob(f"katas/*/{slug}")).parent.name


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with a further framework: an adapter, one line, and a stub and a solution for each of two katas."""
    root = tmp_path_factory.mktemp("toy") / "project"
    copy_project(root, "softmax")
    (root / "toy.py").write_text(TOY)  # as if it were installed
    (root / "dojo/testing/adapters/toy_adapter.py").write_text(ADAPTER)
    names = root / "dojo/curriculum/frameworks.py"
    text = names.read_text(encoding="utf-8")
    assert text.count(LINE) == 1
    names.write_text(text.replace(LINE, LINE + ', "toy": ("toy",)'), encoding="utf-8")
    for slug, solution in (("softmax", SOFTMAX), ("attention", ATTENTION)):
        track = track_of(root, slug)
        (root / "katas" / track / slug / f"{slug}_toy.py").write_text(STUB.format(name=slug))
        (root / "solutions" / track / slug / f"{slug}_toy.py").write_text(solution)
    return root


def run(project, *command):
    return subprocess.run([sys.executable, "-m", *command], cwd=project, capture_output=True, text=True, timeout=300)


def graded(project, slug, *options):
    """The result of `pytest -k SLUG` in the toy framework, and what was printed."""
    report = project / "report.json"
    done = run(project, "pytest", "-k", slug, "--framework=toy", f"--report={report}", *options)
    (kata,) = json.loads(report.read_text())["katas"]
    assert (kata["kata"], kata["framework"]) == (slug, "toy")
    return kata, done.stdout


def outcomes(kata):
    return [test for level in kata["levels"] for test in level["tests"]]


@pytest.mark.parametrize("slug", ["softmax", "attention"])
def test_one_adapter_and_one_line_suffice(project, slug):
    kata, printed = graded(project, slug, "--impl=solutions")
    states = {test["id"]: test["state"] for test in outcomes(kata)}
    assert {state for name, state in states.items() if "gpu" not in name} == {"passed"}, printed
    assert sum("gradients" in name for name in states) >= 4  # such tests are made for it, unlike for NumPy


def write_wrong(project, slug, text):
    (project / "katas" / track_of(project, slug) / slug / f"{slug}_toy.py").write_text(text)


WRONG = {
    "no temperature": ("highest) / _positive(temperature)", "highest)", "wrong values"),
    "a sum in float16": ('    logits = toy.cast(logits, np.promote_types(logits.dtype, "float32"))\n', "", "values"),
    "an array": ("total(exps, axis), 1), logits.dtype)", "total(exps, axis), 1), logits.dtype).values", "toy.Tensor"),
}


@pytest.mark.parametrize(("find", "put", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_code_is_refused_in_words(project, find, put, words):
    assert SOFTMAX.count(find) == 1
    write_wrong(project, "softmax", SOFTMAX.replace(find, put))
    kata, printed = graded(project, "softmax", "--all-levels")
    assert any(words in test["message"] for test in outcomes(kata) if test["state"] == "failed"), printed


def test_a_wrong_gradient_is_refused(project):
    """Rounding to six digits leaves the values nearly right, and takes every slope away."""
    exps = "    exps = toy.exp(_shifted(logits, axis, temperature))\n"
    assert SOFTMAX.count(exps) == 1
    rounded = "    exps = toy.apply(lambda x: np.round(x, 6), exps)\n"
    write_wrong(project, "softmax", SOFTMAX.replace(exps, exps + rounded))
    kata, printed = graded(project, "softmax", "--all-levels")
    assert any("gradient of logits" in test["message"] for test in outcomes(kata)), printed


def test_the_board_has_its_column(project):
    write_wrong(project, "softmax", SOFTMAX)
    write_wrong(project, "attention", STUB.format(name="attention"))
    done = run(project, "dojo", "check", "--framework=toy", "--all")
    assert "toy" in done.stdout, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if "softmax" in line)
    assert "★" in line, done.stdout


def test_a_primitive_that_the_adapter_lacks_is_told(project):
    code = "from dojo.testing.adapters import open_adapter; open_adapter('toy').sequential((3,), 'relu')"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    told = "the adapter of toy has no sequential yet: write it in dojo/testing/adapters/toy_adapter.py."
    assert told in done.stderr
