"""What a verdict says of the call that failed: also where the test calls the implementation from a helper."""

import pytest

TESTS = """
import numpy as np
import pytest
from dojo import level

values = level(1, "values")


def doubled(impl, fw, x):
    return fw.numpy(impl.double(fw.array(x)))


def check(impl, fw, x):
    inner = x + 1
    fw.close(impl.double(fw.array(inner)), 2 * inner, of="double")


def check_through_another(impl, fw, x):
    check(impl, fw, x)


@pytest.fixture
def result(impl, fw):
    return impl.double(fw.array(np.ones(2)))


@values
def test_in_the_test(impl, fw):
    x = np.array([1.0, 2.0])
    fw.close(impl.double(fw.array(x)), 2 * x)


@values
def test_in_a_helper_that_fails(impl, fw):
    check(impl, fw, np.array([1.0, 2.0]))


@values
def test_two_helpers_deep(impl, fw):
    check_through_another(impl, fw, np.array([1.0, 2.0]))


@values
def test_in_a_helper_that_has_returned(impl, fw):
    mine = np.array([3.0, 4.0])
    found = doubled(impl, fw, mine)
    assert list(found) == [6.0, 8.0], f"it is {found}"


@values
def test_in_a_function_of_the_test(impl, fw):
    def twice(y):
        return impl.double(impl.double(fw.array(y)))

    z = np.array([1.0])
    fw.close(twice(z), 4 * z)


@values
def test_in_a_lambda(impl, fw):
    run = lambda y: fw.close(impl.double(fw.array(y)), 2 * y)
    run(np.array([5.0]))


@values
def test_in_a_fixture(result, fw):
    fw.close(result, np.full(2, 2.0))
"""

WRONG = '''"""A stub."""


def triple(x):
    return 3 * x


def double(x):
    """Twice x."""
    return x + x + x
'''


@pytest.fixture(scope="module")
def verdicts(shared_project):
    """Test name to its verdict, for code that is wrong everywhere."""
    shared_project.kata("double", TESTS, numpy=WRONG)
    (result,) = shared_project.graded("double").values()
    return {test["name"]: test for level in result["levels"] for test in level["tests"]}


@pytest.mark.parametrize(
    ("test", "call", "inputs"),
    [
        ("in the test", "double(fw.array(x))", {"x": "[1., 2.]"}),
        ("in a helper that fails", "double(fw.array(inner))", {"inner": "[2., 3.]"}),
        ("two helpers deep", "double(fw.array(inner))", {"inner": "[2., 3.]"}),
        ("in a helper that has returned", "double(fw.array(x))", {"x": "[3., 4.]"}),
        ("in a lambda", "double(fw.array(y))", {"y": "[5.]"}),
        ("in a fixture", "double(fw.array(np.ones(2)))", {}),
    ],
)
def test_the_call_its_inputs_and_the_line_to_look_at_are_told(verdicts, test, call, inputs):
    assert verdicts[test]["state"] == "failed"
    assert verdicts[test]["call"] == call
    assert verdicts[test]["inputs"] == inputs
    assert verdicts[test]["where"] == "katas/basics/double/double_numpy.py:8"


def test_a_call_in_a_function_of_the_test_is_told(verdicts):
    assert verdicts["in a function of the test"]["call"] == "double(impl.double(fw.array(y)))"
    assert verdicts["in a function of the test"]["where"].endswith("double_numpy.py:8")
