"""What a broken file of a contributor is told."""

import pytest

GOOD = 'title = "T"\ndifficulty = 1\nminutes = 5\nanswers = []\n'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("title = ", "katas/basics/double/kata.toml is not valid TOML"),
        ('title = "T"', "katas/basics/double/kata.toml needs the key 'difficulty' of type int"),
        (GOOD + "minuts = 3", "has an unknown key 'minuts'. Did you mean minutes?"),
        (GOOD.replace("5", '"5"'), "'minutes' must be of type int, not str"),
    ],
)
def test_a_broken_kata_toml_names_the_file_the_key_and_the_remedy(project, right, content, told):
    project.kata("double", numpy=right)
    project.write("katas/basics/double/kata.toml", content)
    done = project.run("-m", "dojo", "check")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_an_unknown_kata_gets_a_near_name(project, right):
    project.kata("double", numpy=right)
    done = project.run("-m", "dojo", "check", "duble")
    assert "There is no kata 'duble'. Did you mean double?" in done.stderr
    assert done.returncode == 1


def test_an_unknown_verb_gets_a_near_name(project):
    done = project.run("-m", "dojo", "chek")
    assert "There is no verb 'chek'. Did you mean check?" in done.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('frameworks = ["pytorch"]', "there is no framework 'pytorch'. Did you mean torch?"),
        ("frameworks = []", "frameworks must name one at least"),
        ('test_seconds = "long"', "'test_seconds' must be of type number, not str"),
        ("test_secs = 3", "unknown key 'test_secs'. Did you mean test_seconds?"),
    ],
)
def test_a_broken_dojo_toml_is_told_in_a_sentence(project, right, content, told):
    project.kata("double", numpy=right)
    project.write("dojo.toml", content)
    done = project.run("-m", "dojo", "check")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_with_the_files_of_one_kata_can_be_handed_in(project, right):
    project.kata("double", numpy="def double(x): raise NotImplementedError('double is yours to write')")
    project.write("handed_in/double_numpy.py", right)
    assert project.run("-m", "dojo", "check", "double", "--impl=handed_in").returncode == 0
    assert project.pytest("-k", "double", "--impl=handed_in").returncode == 0
    project.write("handed_in/double_numpy.py", right.replace("x + x", "x + x + x"))
    assert project.pytest("-k", "double", "--impl=handed_in").returncode == 1
