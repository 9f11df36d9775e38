"""The decorator that says which level of its kata a test belongs to."""

import pytest


def level(number: int, title: str, points: int = 1, autograd: bool = False):
    """Put a test in level `number` of its kata.

    Args:
        number: 1 is the first level. A level is locked until every test of the levels before it passes.
        title: what the level is about, in a few words; the same in every test of the level.
        points: what the whole level (not the test) is worth; the same in every test of the level.
        autograd: the test needs a framework that differentiates, so it is not made for NumPy.
    """
    return pytest.mark.level(number, title, points, autograd)
