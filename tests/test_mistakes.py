"""mistakes.toml and the proof that mistakes are refused, on a kata with known gaps."""

import tempfile

import numpy as np
import pytest

from dojo.pytest_plugin.diagnosis import same_failure
from dojo.testing.adapters.base import CheckFailed

MISTAKE = """
[[mistake]]
name = "{name}"
says = "It is wrong."
level = {level}
numpy = {{ find = "{find}", put = "{put}" }}
"""


@pytest.fixture
def solved(project, stub, right):
    project.kata("double", numpy=stub)
    project.write("solutions/basics/double/double_numpy.py", right)
    return project


def mistakes(project, content):
    project.write("solutions/basics/double/mistakes.toml", content)
    return project.run("-m", "dojo", "mistakes")


def test_a_mistake_refused_at_its_level_is_well(solved):
    done = mistakes(solved, MISTAKE.format(name="square", level=2, find="x + x", put="x * x"))
    assert done.returncode == 0
    assert "1 passed, 0 failed\nThe diagnosis names 1 of 1." in done.stdout


def test_two_mistakes_that_no_test_tells_apart_are_named_together(solved):
    other = MISTAKE.format(name="same", level=2, find="x + x", put="x ** 2").replace("It is wrong.", "It is squared.")
    done = mistakes(solved, MISTAKE.format(name="square", level=2, find="x + x", put="x * x") + other)
    assert "2 passed, 0 failed\nThe diagnosis names 2 of 2." in done.stdout


def test_too_few_that_the_diagnosis_names_are_told(solved):
    """Numbers that are others each time can be no mistake's."""
    always_other = MISTAKE.format(name="dice", level=2, find="x + x", put="x + __import__('secrets').randbelow(10**9)")
    done = mistakes(solved, always_other)
    assert done.returncode == 1
    assert "1 passed, 0 failed\nThe diagnosis names 0 of 1." in done.stdout
    assert "the diagnosis should name 95% at least" in done.stdout


def test_a_mistake_that_no_test_refuses_is_told(solved):
    done = mistakes(solved, MISTAKE.format(name="other style", level=2, find="x + x", put="x * 2"))
    assert done.returncode == 1
    assert "double in numpy: mistake 'other style' should be 'refused at level 2' and is 'passes'" in done.stdout


def test_a_mistake_refused_at_another_level_is_told(solved):
    done = mistakes(solved, MISTAKE.format(name="flat", level=2, find="x + x", put="(x + x)[None]"))
    assert "mistake 'flat' should be 'refused at level 2' and is 'refused at level 1'" in done.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[[mistak]]\n", "has an unknown table 'mistak'"),
        ('[[mistake]]\nname = "a"\nsays = "B."\n', "the mistake 'a' needs the key 'level' of type int"),
        ('[[mistake]]\nname = "a"\nsays = "B."\nlevel = 1\n', "the mistake 'a' has no edit"),
        (MISTAKE.format(name="a", level=1, find="y", put="x"), "looks for 'y', which occurs 0 times"),
        (MISTAKE.format(name="a", level=1, find="x", put="y"), "looks for 'x', which occurs 3 times"),
        ('[[mistake]]\nname = "a"\nsays = "B."\nlevel = 1\nnumpi = {}\n', "unknown key 'numpi'. Did you mean numpy?"),
        ('[[mistake]]\nname = "a"\nsays = "B."\nlevel = 1\nnumpy = { find = "x" }\n', "just the keys find and put"),
    ],
)
def test_a_broken_file_is_told_in_a_sentence(solved, content, told):
    done = mistakes(solved, content)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


SLOW = """
import time
from dojo import level


@level(1, "entries")
def test_slowly(impl, fw):
    end = time.process_time() + {seconds}
    while time.process_time() < end:
        pass
    fw.close(impl.double(fw.array([5.0])), [10.0])
"""

QUICK = """

@level(1, "entries")
def test_quickly(impl, fw):
    fw.close(impl.double(fw.array([7.0])), [14.0])
"""


@pytest.mark.parametrize(
    "words",
    [
        "object at 0x{:x}",
        f"the file {tempfile.gettempdir()}/pytest-of-me/{{}}/x.npy is gone",
        "study 3e7c94a4-c19a-4286-9d49-{:012x} exists",
        "100%|███| 5/5 [00:00<00:0{}, 204.86it/s]",
        "conv2d_{} is missing",
        "norm1d_16_{}/Add_2:0 is symbolic",
    ],
)
def test_words_that_differ_from_run_to_run_count_for_nothing(words):
    assert same_failure(AssertionError(words.format(1)), AssertionError(words.format(2)))


def test_other_words_numbers_and_kinds_are_other_failures():
    assert not same_failure(AssertionError("the loss is 1.5"), AssertionError("the loss is 2.5"))
    assert not same_failure(AssertionError("x_train_1 is missing"), AssertionError("y_train_1 is missing"))
    assert not same_failure(AssertionError("no"), ValueError("no"))
    assert not same_failure(CheckFailed("y: wrong", np.ones(2)), CheckFailed("y: wrong", np.zeros(2)))
    assert not same_failure(CheckFailed("y: wrong", np.ones(2)), CheckFailed("dx: wrong", np.ones(2)))


def test_numbers_are_the_same_up_to_the_rounding_of_their_dtype():
    def same(dtype, off):
        one, other = np.array([0.01, 3.0], dtype), np.array([0.01 * (1 + off), 3.0], dtype)
        return same_failure(CheckFailed("rate: wrong", one), CheckFailed("rate: wrong", other))

    assert same("float32", 1e-6) and not same("float32", 1e-3)
    assert same("float64", 1e-13) and not same("float64", 2e-8)


class TestDiagnosis:
    """A failure that equals a known mistake's is named."""

    TWO = MISTAKE.format(name="square", level=2, find="x + x", put="x * x") + MISTAKE.format(
        name="triple", level=2, find="x + x", put="3 * x"
    ).replace("It is wrong.", "It is tripled.")

    def said(self, project, stub, *args, **kata):
        project.kata("double", numpy=stub, **kata)
        (result,) = project.graded("double", *args).values()
        return [test["diagnosis"] for level in result["levels"] for test in level["tests"] if test["diagnosis"]]

    @pytest.fixture
    def known(self, solved):
        solved.write("solutions/basics/double/mistakes.toml", self.TWO)
        return solved

    def test_equal_numbers_are_named_however_they_came_about(self, known):
        assert self.said(known, "def double(x):\n    return x + x + x\n") == ["It is tripled."]

    def test_other_numbers_are_not(self, known):
        assert self.said(known, "def double(x):\n    return x + x + x + x\n") == []

    def test_two_that_fit_equally_are_both_named(self, known):
        known.write("solutions/basics/double/mistakes.toml", self.TWO + self.TWO.replace("It is tripled.", "It grew."))
        (told,) = self.said(known, "def double(x):\n    return 3 * x\n")
        assert told == "Either: It is tripled. Or: It grew."

    def test_a_right_solution_is_never_diagnosed(self, known):
        assert self.said(known, "def double(x):\n    return 2 * x\n") == []

    def test_a_wrong_shape_and_a_raised_error_are_named(self, known):
        shapes = MISTAKE.format(name="flat", level=1, find="x + x", put="(x + x)[None]").replace(
            "It is wrong.", "New axis."
        )
        errors = MISTAKE.format(name="err", level=1, find="x + x", put="x.no").replace("It is wrong.", "No such thing.")
        known.write("solutions/basics/double/mistakes.toml", shapes + errors)
        assert self.said(known, "def double(x):\n    return (2 * x).reshape(1, -1)\n") == ["New axis."]
        assert self.said(known, "def double(x):\n    y = x\n    return y.no\n") == ["No such thing."]

    def test_a_later_failure_is_named_where_the_first_takes_too_long_to_run_again(self, known):
        known.write("solutions/basics/double/mistakes.toml", self.TWO.replace("level = 2", "level = 1"))
        tests = SLOW.format(seconds=2) + QUICK
        assert self.said(known, "def double(x):\n    return 3 * x\n", tests=tests) == ["It is tripled."]

    @pytest.mark.parametrize(("formula", "told"), [("x * x", "It is wrong."), ("3 * x", "It is tripled.")])
    def test_what_reads_most_alike_is_tried_first(self, known, formula, told):
        """A second of the processor suffices for one rerun here."""
        known.write("solutions/basics/double/mistakes.toml", self.TWO.replace("level = 2", "level = 1"))
        known.kata("double", SLOW.format(seconds=0.8), numpy=f"def double(x):\n    return {formula}\n")
        assert f"Perhaps: {told}" in known.pytest("-k", "double", "--diagnosis-seconds=60").stdout

    def test_it_can_be_turned_off(self, known):
        known.kata("double", numpy="def double(x):\n    return 3 * x\n")
        assert "It is tripled" in known.pytest("-k", "double").stdout
        assert "It is tripled" not in known.pytest("-k", "double", "--no-diagnosis").stdout
        known.write("dojo.toml", "diagnosis = false")
        assert "It is tripled" not in known.pytest("-k", "double").stdout

    def test_a_broken_mistakes_file_is_no_business_of_the_learners(self, known):
        known.write("solutions/basics/double/mistakes.toml", "[[")
        assert self.said(known, "def double(x):\n    return 3 * x\n") == []
