"""What a collected test of a kata is: its kata, framework, level and name, and what came of it."""

import re
from dataclasses import asdict

import pytest

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Kata
from dojo.curriculum.levels import level_of
from dojo.files import shown
from dojo.grading import TestResult

RESULT = pytest.StashKey[TestResult]()  # of a kata's test, from its collection on
ERROR = pytest.StashKey[BaseException]()  # what the implementation under test made it raise
_FRAMEWORK = re.compile(rf"\b({'|'.join(FRAMEWORKS)})\b-?")


def is_of_kata(item: pytest.Item) -> bool:
    return RESULT in item.stash


def framework_of(item: pytest.Item) -> str:
    """The framework that the test runs in; NumPy for a test that uses none."""
    return _parameters(item).get("framework", FRAMEWORKS[0])


def kata_of(item: pytest.Item) -> Kata:
    return Kata(item.path.parent)


def key_of(item: pytest.Item) -> tuple[str, str]:
    """(slug, framework)."""
    return item.path.parent.name, framework_of(item)


def describe(item: pytest.Item) -> TestResult:
    """The test before it has run."""
    level = level_of(item)
    if level is None:
        raise pytest.UsageError(f"{shown(item.path)}: {item.originalname} has no level. Put one above it: @masks.")
    return TestResult(plain_id(item), _words(item), level.number, level.title, level.points, level.beyond)


def is_empty(item: pytest.Item) -> bool:
    """pytest makes one skipped test where a parameter has no values."""
    return hasattr(item, "callspec") and "NOTSET" in item.name and framework_of(item) not in FRAMEWORKS


def plain_id(item: pytest.Item) -> str:
    """The test's name and parameters without the framework: the same in every one."""
    return _FRAMEWORK.sub("", item.name).replace("-]", "]").replace("[]", "")


def event_of(item: pytest.Item) -> dict:
    """Plain data: xdist sends nothing else between processes."""
    slug, framework = key_of(item)
    test = asdict(item.stash[RESULT])
    return {"kata": slug, "framework": framework, "test": test | {"state": test["state"] and str(test["state"])}}


def _words(item: pytest.Item) -> str:
    """'the formula (heads)' from 'test_the_formula[heads]'."""
    name, _, parameters = plain_id(item).partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words} ({parameters.rstrip(']')})" if parameters else words


def _parameters(item: pytest.Item) -> dict:
    return item.callspec.params if hasattr(item, "callspec") else {}
