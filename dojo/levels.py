"""The decorator that says which level of its kata a test belongs to, and a reader of what it says."""

import ast
from dataclasses import dataclass, replace
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Level:
    """One level. `autograd`: every one of its tests needs a framework that differentiates."""

    number: int
    title: str
    points: int = 1
    autograd: bool = False


def level(number: int, title: str, points: int = 1, autograd: bool = False):
    """Put a test in level `number` of its kata.

    Args:
        number: 1 is the first level. A level is locked until every test of the levels before it passes.
        title: what the level is about, in a few words; the same in every test of the level.
        points: what the whole level (not the test) is worth; the same in every test of the level.
        autograd: the test needs a framework that differentiates, so it is not made for NumPy.
    """
    return pytest.mark.level(number, title, points, autograd)


def read_levels(test_file: Path) -> list[Level]:
    """The levels of a test file in order, read from its decorators without importing it."""
    found: dict[int, Level] = {}
    for node in ast.walk(ast.parse(test_file.read_text(encoding="utf-8"))):
        for decorator in getattr(node, "decorator_list", []):
            if (
                isinstance(decorator, ast.Call)
                and isinstance(decorator.func, ast.Name)
                and decorator.func.id == "level"
            ):
                level = _read(decorator)
                known = found.get(level.number, level)
                found[level.number] = replace(level, autograd=level.autograd and known.autograd)
    return [found[number] for number in sorted(found)]


def _read(decorator: ast.Call) -> Level:
    values = dict(zip(Level.__dataclass_fields__, map(ast.literal_eval, decorator.args), strict=False))
    return Level(**values, **{keyword.arg: ast.literal_eval(keyword.value) for keyword in decorator.keywords})
