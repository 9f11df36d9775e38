"""The mutants: small wrong changes, each valid Python, and none where no test should look."""

import ast
import json
import signal
import subprocess
import sys

from dojo.proof.mutants import mutants_of

SOURCE = '''
"""A docstring with 1 + 1."""

import math


def scaled(x: int = 3, *, keep: bool = True) -> float:
    """Another, with x < 3."""
    if x < 2 and keep:
        raise ValueError(f"x is {x + 1}, not 2")
    return -math.pow(x + 1, 2)
'''


# The kata's tests never try an empty input, so the guard for it may change unnoticed.
SOLUTION = """
def double(x):
    if x.size == 0:
        return x
    return x + x
"""


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
    project.kata("double", numpy=stub)
    project.write("solutions/basics/double/double_numpy.py", SOLUTION)
    done = project.run("-m", "dojo", "mutants", "double", "--json=figures.json")
    assert done.returncode == 0
    (row,) = json.loads((project.root / "figures.json").read_text())
    assert row["made"] == row["ran"] == row["killed"] + len(row["survivors"])
    changes = [survivor["change"] for survivor in row["survivors"]]
    assert any("if False" in change for change in changes)
    assert not any("x - x" in change for change in changes)


# As in a terminal: what a shell starts in the background ignores Ctrl-C.
INTERRUPTIBLE = """
import signal, sys
from dojo.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(["mutants", "double", "--json=figures.json"]))
"""


def test_ended_early_it_counts_what_has_run(project, stub, doubling_tests):
    """The first line that it prints is a survivor: only then is it interrupted."""
    project.kata("double", doubling_tests + "\n\nimport time; time.sleep(0.5)\n", numpy=stub)
    project.write("solutions/basics/double/double_numpy.py", SOLUTION)
    command = [sys.executable, "-c", INTERRUPTIBLE]
    with subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    (row,) = json.loads((project.root / "figures.json").read_text())
    assert "if False" in first
    assert "Ended early" in said and process.returncode == 130
    assert row["killed"] + len(row["survivors"]) == row["ran"] < row["made"]
