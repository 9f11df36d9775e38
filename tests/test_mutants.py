"""The mutants: small wrong changes, each valid Python, and none where no test should look."""

import ast
import json

from dojo.mutants import mutants_of

SOURCE = '''
"""A docstring with 1 + 1."""

import math


def scaled(x: int = 3, *, keep: bool = True) -> float:
    """Another, with x < 3."""
    if x < 2 and keep:
        raise ValueError(f"x is {x + 1}, not 2")
    return -math.pow(x + 1, 2)
'''


def test_every_mutant_is_a_different_module_that_parses():
    sources = [mutant.source for mutant in mutants_of(SOURCE)]
    assert len(sources) == len(set(sources)) > 10
    for source in sources:
        ast.parse(source)


def test_the_usual_changes_are_made():
    bodies = "\n".join(mutant.source for mutant in mutants_of(SOURCE))
    for change in [
        "x <= 2",
        "x < 3",
        "or keep",
        "x - 1",
        "x + 2",
        "keep: bool=False",
        "pow(2, x + 1)",
        "return None",
        "if True:",
        "if False:",
        "return math.pow",
    ]:
        assert change in bodies, change


def test_docstrings_annotations_and_messages_are_left_alone():
    for mutant in mutants_of(SOURCE):
        assert "A docstring with 1 + 1." in mutant.source
        assert "Another, with x < 3." in mutant.source
        assert "-> float" in mutant.source
        if "raise" in mutant.source:
            assert "x is {x + 1}, not 2" in mutant.source


def test_survivors_are_listed_and_counted(project, stub):
    """The kata's tests never try an empty input, so the guard for it may change unnoticed."""
    project.kata("double", numpy=stub)
    project.write(
        "solutions/basics/double/double_numpy.py",
        "def double(x):\n    if x.size == 0:\n        return x\n    return x + x\n",
    )
    done = project.run("-m", "dojo", "mutants", "double", "--json=figures.json")
    assert done.returncode == 0
    (row,) = json.loads((project.root / "figures.json").read_text())
    assert row["made"] == row["killed"] + len(row["survivors"])
    changes = [survivor["change"] for survivor in row["survivors"]]
    assert any("if False" in change for change in changes)
    assert not any("x - x" in change for change in changes)
