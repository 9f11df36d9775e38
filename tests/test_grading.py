"""Levels, points and states."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dojo.errors import DojoError
from dojo.grading import State, TestResult, from_json, grade, to_json


def a_test(level: int, state: State | None, points: int = 1, beyond: bool = False) -> TestResult:
    return TestResult(f"{level}-{state}", "it holds", level, f"title {level}", points, beyond, state)


def beyond(level: int, state: State | None, points: int = 1) -> TestResult:
    return a_test(level, state, points, beyond=True)


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


def test_a_kata_is_solved_by_its_interview_levels_and_mastered_by_all():
    solved = graded(a_test(1, State.PASSED, 2), beyond(2, State.FAILED, 10), beyond(3, State.PASSED, 100))
    assert (solved.solved, solved.mastered, solved.standing) == (True, False, "solved")
    assert (solved.score, solved.total, solved.first_open.number) == (102, 112, 2)
    mastered = graded(a_test(1, State.PASSED, 2), beyond(2, State.PASSED, 10))
    assert (mastered.solved, mastered.mastered, mastered.standing) == (True, True, "mastered")
    assert (mastered.score, mastered.first_open) == (12, None)


def test_beyond_levels_earn_nothing_before_the_kata_is_solved():
    result = graded(a_test(1, State.PASSED, 2), a_test(2, State.FAILED), beyond(3, State.PASSED, 100))
    assert (result.score, result.prefix, result.solved, result.mastered) == (2, 1, False, False)
    assert result.first_open.number == 2


def test_a_beyond_level_that_this_machine_cannot_run_is_not_asked_for():
    result = graded(a_test(1, State.PASSED), beyond(2, State.SKIPPED, 10))
    assert (result.mastered, result.score, result.total) == (True, 1, 1)


tests_of_a_kata = st.lists(
    st.builds(
        lambda level, state: a_test(level, state, 2, beyond=level > 3),
        st.integers(1, 5),
        st.sampled_from([None, *State]),
    ),
    min_size=1,
    max_size=12,
)


@given(tests_of_a_kata)
def test_the_score_lies_between_nothing_and_all(tests):
    result = graded(*tests)
    assert 0 <= result.score <= result.total
    assert (result.score == result.total > 0) == result.mastered or result.state is State.ERROR
    assert result.solved >= result.mastered


@given(tests_of_a_kata)
def test_json_holds_the_whole_model(tests):
    results = [graded(*tests)]
    read = from_json(json.loads(json.dumps(to_json(results))))
    assert to_json(read) == to_json(results)


def test_json_says_what_is_solved_mastered_and_beyond():
    data = to_json([graded(a_test(1, State.PASSED), beyond(2, State.FAILED))])
    (kata,) = data["katas"]
    assert (data["schema"], kata["state"], kata["solved"], kata["mastered"]) == (2, "passed", True, False)
    assert [level["beyond"] for level in kata["levels"]] == [False, True]


@given(tests_of_a_kata)
def test_results_of_schema_1_are_read(tests):
    for test in tests:
        test.beyond = False  # schema 1 knew no others
    results = [graded(*tests)]
    old = json.loads(json.dumps(to_json(results) | {"schema": 1}))
    for kata in old["katas"]:
        del kata["solved"], kata["mastered"]
        for level in kata["levels"]:
            del level["beyond"]
            for test in level["tests"]:
                del test["beyond"]
    assert to_json(from_json(old)) == to_json(results)


def test_results_of_another_schema_are_refused_in_a_sentence():
    with pytest.raises(DojoError, match="reads results of schema 1 and 2, not 3"):
        from_json({"schema": 3, "katas": []})


@given(tests_of_a_kata)
def test_passing_one_more_test_never_costs_points(tests):
    before = graded(*tests).score
    for test in tests:
        if test.state is not State.SKIPPED:
            test.state = State.PASSED
    assert graded(*tests).score >= before
