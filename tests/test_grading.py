"""Levels, points and states."""

import json

from hypothesis import given
from hypothesis import strategies as st

from dojo.grading import State, TestResult, from_json, grade, to_json


def a_test(level: int, state: State | None, points: int = 1) -> TestResult:
    return TestResult(f"{level}-{state}", "it holds", level, f"title {level}", points, state=state)


def graded(*tests: TestResult):
    return grade("basics", "double", "numpy", list(tests))


def test_a_level_passes_when_all_its_tests_do():
    assert graded(a_test(1, State.PASSED), a_test(1, State.PASSED)).levels[0].state is State.PASSED
    assert graded(a_test(1, State.PASSED), a_test(1, State.FAILED)).levels[0].state is State.FAILED


def test_the_score_is_that_of_the_longest_passing_prefix():
    result = graded(a_test(1, State.PASSED, 1), a_test(2, State.FAILED, 10), a_test(3, State.PASSED, 100))
    assert (result.score, result.total, result.state) == (1, 111, State.FAILED)
    assert result.first_open.number == 2


def test_a_test_that_never_ran_earns_nothing():
    result = graded(a_test(1, State.PASSED), a_test(1, None))
    assert (result.score, result.state) == (0, State.FAILED)


def test_a_level_that_this_machine_cannot_run_leaves_the_total():
    result = graded(a_test(1, State.PASSED), a_test(2, State.SKIPPED, 5), a_test(3, State.PASSED, 2))
    assert (result.score, result.total, result.state) == (3, 3, State.PASSED)


def test_a_skipped_test_beside_a_passed_one_does_not_stop_its_level():
    assert graded(a_test(1, State.PASSED), a_test(1, State.SKIPPED)).state is State.PASSED


def test_a_harness_error_is_no_failure_of_the_learner():
    assert graded(a_test(1, State.FAILED), a_test(2, State.ERROR)).state is State.ERROR


def test_a_kata_without_a_single_test_is_not_passed():
    assert graded().state is State.FAILED


def test_all_skipped_is_skipped():
    assert graded(a_test(1, State.SKIPPED)).state is State.SKIPPED


tests_of_a_kata = st.lists(
    st.builds(a_test, st.integers(1, 5), st.sampled_from([None, *State]), st.just(2)), min_size=1, max_size=12
)


@given(tests_of_a_kata)
def test_the_score_lies_between_nothing_and_all(tests):
    result = graded(*tests)
    assert 0 <= result.score <= result.total
    assert (result.score == result.total > 0) == (result.state is State.PASSED) or result.state is State.ERROR


@given(tests_of_a_kata)
def test_json_holds_the_whole_model(tests):
    results = [graded(*tests)]
    read = from_json(json.loads(json.dumps(to_json(results))))
    assert to_json(read) == to_json(results)


@given(tests_of_a_kata)
def test_passing_one_more_test_never_costs_points(tests):
    before = graded(*tests).score
    for test in tests:
        if test.state is not State.SKIPPED:
            test.state = State.PASSED
    assert graded(*tests).score >= before
