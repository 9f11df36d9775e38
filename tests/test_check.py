"""`python -m dojo check`: the board, the verdicts, what to do next, and the exit status."""

import pytest


@pytest.fixture
def two(project, stub):
    """Two katas, nothing started; `triple` comes after `double`."""
    project.kata("double", numpy=stub, torch=stub)
    project.kata("triple", meta='after = ["double"]\n', numpy=stub)
    return project


def test_a_fresh_clone_shows_the_board_and_the_next_step(two):
    done = two.run("-m", "dojo", "check")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert "Basics" in said
    assert "3 not started; 0 of 17 points" in said
    assert "Next: begin double (The double, about 5 minutes): open katas/basics/double/double_numpy.py" in said


def test_a_failing_kata_gives_status_one_and_its_verdict(two):
    two.kata("double", numpy="def double(x):\n    return x\n")
    done = two.run("-m", "dojo", "check")
    assert done.returncode == 1
    assert "every entry is doubled" in done.stdout
    assert "Next: go on with double" in done.stdout


def test_a_solved_kata_opens_the_one_that_comes_after(two, right):
    two.kata("double", numpy=right)
    done = two.run("-m", "dojo", "check")
    assert done.returncode == 0
    assert "✓ 5 of 5" in done.stdout
    assert "Next: begin triple" in done.stdout


def test_named_katas_alone_are_graded_like_pytest_does(two, right):
    two.kata("double", numpy=right)
    graded = two.graded("double")
    assert graded.keys() == {("double", "numpy")}
    assert graded["double", "numpy"]["state"] == "passed"


def test_a_kata_whose_tests_cannot_be_read_is_nobodys_fault(two, right):
    two.kata("double", tests="import no_such_module\n", numpy=right)
    graded = two.graded("double")
    assert graded["double", "numpy"]["state"] == "harness error"
    assert "no_such_module" in graded["double", "numpy"]["levels"][0]["tests"][0]["message"]


def test_a_handed_in_tree_is_graded_beside_the_stubs(two, right):
    two.write("handed_in/basics/double/double_numpy.py", right)
    assert two.graded("--impl=handed_in", "double")["double", "numpy"]["state"] == "passed"


def test_a_child_that_outlives_its_kata_is_ended(two):
    stub = """
        import subprocess, sys

        def double(x):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)  # the dojo test sleeper"])
            return x + x
    """
    import textwrap

    import psutil

    two.kata("double", numpy=textwrap.dedent(stub))
    assert two.graded("double")["double", "numpy"]["state"] == "passed"
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if "the dojo test sleeper" in line]


def test_torch_katas_run_in_their_own_warm_process(two, right):
    two.kata("double", numpy=right, torch=right)
    graded = two.graded("double")
    assert {key: result["state"] for key, result in graded.items()} == {
        ("double", "numpy"): "passed",
        ("double", "torch"): "passed",
    }
