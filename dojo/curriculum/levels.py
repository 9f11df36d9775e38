"""The levels of a kata: stated once at the top of its test file, and read from there without importing it."""

import ast
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dojo.curriculum.frameworks import WITHOUT_GRADIENTS

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Level:
    """One level. `autograd`: every one of its tests needs a framework that differentiates."""

    number: int
    title: str
    points: int = 1
    beyond: bool = False
    autograd: bool = False


def level(number: int, title: str, points: int = 1, beyond: bool = False, autograd: bool = False):
    """A level of a kata, as a decorator for its tests.

        masks = level(3, "masks", points=2)

        @masks
        def test_a_masked_key_gets_no_weight(impl, fw, rng): ...

    Args:
        number: 1 is the first level. An interview level opens when all tests of those before it pass.
        title: what the level is about, in a few words.
        points: what the whole level (not the test) is worth.
        beyond: a library's author would ask for it, an interviewer would not: it opens once the kata is solved.
        autograd: the tests need a framework that differentiates, so they are not made for NumPy. For one test of
            the level alone: `@masks(autograd=True)`.
    """
    import pytest  # only a test file pays for it: the board and every verb import this module, too

    return pytest.mark.level(number=number, title=title, points=points, beyond=beyond, autograd=autograd)


def level_of(item: "pytest.Item") -> Level | None:
    """The level that a collected test belongs to."""
    marker = item.get_closest_marker("level")
    return Level(**marker.kwargs) if marker else None


def read_levels(test_file: Path) -> list[Level]:
    """The levels of a test file in order, read from its text without importing it."""
    status = test_file.stat()
    return _read_levels(test_file, status.st_mtime_ns, status.st_size)


def levels_in(test_file: Path, framework: str) -> list[Level]:
    """The levels that have tests in this framework."""
    without = framework in WITHOUT_GRADIENTS
    return [level for level in read_levels(test_file) if not (level.autograd and without)]


# A statement at the left margin that makes a level or decorates with one; it may run over several lines.
_STATED = re.compile(r"\n(?:(?P<name>\w+) = |@)(?P<call>level\((?:[^()\"]|\"[^\"\n]*\")*\))")
_USED = re.compile(r"\n@(?P<name>\w+)(?P<autograd>\(autograd=True\))?(?=\n)")


@cache
def _read_levels(test_file: Path, *_version: int) -> list[Level]:
    text = f"\n{test_file.read_text(encoding='utf-8')}"  # so that each line begins with a line break
    named: dict[str, Level] = {}
    uses: list[tuple[Level, bool]] = []  # of each test: its level, and whether it needs gradients
    statements = list(_STATED.finditer(text))
    calls = ast.parse(f"[{', '.join(each['call'] for each in statements)}]", mode="eval").body.elts
    for statement, read in zip(statements, map(_arguments, calls), strict=True):
        if statement["name"]:
            named[statement["name"]] = read
        else:
            uses.append((read, read.autograd))
    for used in _USED.finditer(text):
        if known := named.get(used["name"]):
            uses.append((known, known.autograd or bool(used["autograd"])))
    found = {level.number: level for level, _ in uses}
    without = {level.number for level, autograd in uses if not autograd}
    return [replace(found[number], autograd=number not in without) for number in sorted(found)]


def _arguments(call: ast.Call) -> Level:
    values = dict(zip(("number", "title", "points"), map(ast.literal_eval, call.args), strict=False))
    return Level(**values, **{keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords})
