"""mistakes.toml and the proof that mistakes are refused, on a kata with known gaps."""

import pytest

MISTAKE = """
[[mistake]]
name = "{name}"
says = "it is wrong"
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
    assert "1 passed, 0 failed" in done.stdout


def test_a_mistake_that_no_test_refuses_is_told(solved):
    done = mistakes(solved, MISTAKE.format(name="other style", level=2, find="x + x", put="x * 2"))
    assert done.returncode == 1
    assert "double in numpy: 'other style' is not refused at all; it should be at level 2." in done.stdout


def test_a_mistake_refused_at_another_level_is_told(solved):
    done = mistakes(solved, MISTAKE.format(name="flat", level=2, find="x + x", put="(x + x)[None]"))
    assert "'flat' is refused at level 1, not at level 2" in done.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[[mistak]]\n", "has an unknown table 'mistak'"),
        ('[[mistake]]\nname = "a"\nsays = "b"\n', "the mistake 'a' needs the key 'level' of type int"),
        ('[[mistake]]\nname = "a"\nsays = "b"\nlevel = 1\n', "the mistake 'a' has no edit"),
        (MISTAKE.format(name="a", level=1, find="y", put="x"), "looks for 'y', which occurs 0 times"),
        (MISTAKE.format(name="a", level=1, find="x", put="y"), "looks for 'x', which occurs 3 times"),
        ('[[mistake]]\nname = "a"\nsays = "b"\nlevel = 1\nnumpi = {}\n', "unknown key 'numpi'. Did you mean numpy?"),
        ('[[mistake]]\nname = "a"\nsays = "b"\nlevel = 1\nnumpy = { find = "x" }\n', "just the keys find and put"),
    ],
)
def test_a_broken_file_is_told_in_a_sentence(solved, content, told):
    done = mistakes(solved, content)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
