"""The result model: tests into levels, levels into points. Every report is a writer over it.

Interview levels open in order; a kata is solved when all of them pass. Beyond levels open all at once then; a kata is
mastered when they pass too.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.levels import levels_in
from dojo.errors import DojoError
from dojo.files import shown

SCHEMA = 2  # of the JSON form; grows when a reader of the old form would misread the new
_READABLE = (1, 2)  # 1 knew no beyond levels


class State(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    LOCKED = "locked"  # an earlier level is not passed yet
    NOT_STARTED = "not started"
    SKIPPED = "skipped"  # no device, or the framework is absent: never the learner's fault
    ERROR = "harness error"  # nor is this


@dataclass
class TestResult:
    """What one test said."""

    __test__ = False  # for pytest: this is no test class

    id: str
    name: str  # what is true when it passes, in words
    level: int
    title: str  # of the level
    points: int  # of the whole level
    beyond: bool = False  # the level is a beyond level
    state: State | None = None  # None: it never ran
    message: str = ""  # why it did not pass, in words
    where: str = ""  # file:line in the implementation
    call: str = ""  # how the test called it
    inputs: dict[str, str] = field(default_factory=dict)  # the arguments of that call, described
    output: str = ""  # what the code printed, cut to a readable length
    diagnosis: str = ""  # the known mistake that gives the same, if there is one
    seconds: float = 0.0


@dataclass
class LevelResult:
    """One level of a kata: passed when all its tests are."""

    number: int
    title: str
    points: int
    beyond: bool
    tests: list[TestResult]

    @property
    def state(self) -> State:
        states = {test.state for test in self.tests}
        for decisive in (State.ERROR, State.FAILED, State.NOT_STARTED):
            if decisive in states:
                return decisive
        if states & {State.LOCKED, None}:
            return State.LOCKED
        return State.PASSED if State.PASSED in states else State.SKIPPED


@dataclass
class KataResult:
    """One kata in one framework. `message` says what ended the whole run before its time, if anything did."""

    track: str
    slug: str
    framework: str
    levels: list[LevelResult]
    message: str = ""

    @property
    def interview(self) -> list[LevelResult]:
        return [level for level in self.levels if not level.beyond]

    @property
    def beyond(self) -> list[LevelResult]:
        return [level for level in self.levels if level.beyond]

    @property
    def prefix(self) -> int:
        """How many interview levels pass from the first one on; a skipped level neither counts nor breaks the row."""
        for index, level in enumerate(self.interview):
            if level.state not in (State.PASSED, State.SKIPPED):
                return index
        return len(self.interview)

    @property
    def solved(self) -> bool:
        """All interview levels pass."""
        return self.state is State.PASSED

    @property
    def mastered(self) -> bool:
        """The beyond levels pass as well; one that this machine cannot run is not asked for."""
        return self.solved and all(level.state in (State.PASSED, State.SKIPPED) for level in self.beyond)

    @property
    def standing(self) -> str:
        """'mastered', 'solved', or the state where the kata is neither."""
        return "mastered" if self.mastered else "solved" if self.solved else str(self.state)

    @property
    def score(self) -> int:
        """The points of the interview levels passed without a gap, and of each beyond level once all of them are."""
        counted = self.interview[: self.prefix] + (self.beyond if self.prefix == len(self.interview) else [])
        return sum(level.points for level in counted if level.state is State.PASSED)

    @property
    def total(self) -> int:
        """The points to be had; a level that this machine cannot run is not among them."""
        return sum(level.points for level in self.levels if level.state is not State.SKIPPED)

    @property
    def state(self) -> State:
        """PASSED when the interview levels pass: what only the beyond levels lack is no failure."""
        if any(level.state is State.ERROR for level in self.levels):
            return State.ERROR
        states = {level.state for level in self.interview}
        for decisive in (State.NOT_STARTED, State.FAILED):
            if decisive in states:
                return decisive
        if self.message or not self.levels or State.LOCKED in states:
            return State.FAILED
        if State.PASSED in states or any(level.state is State.PASSED for level in self.beyond):
            return State.PASSED
        return State.SKIPPED

    @property
    def first_open(self) -> LevelResult | None:
        """The level where the learner stands: the first that is not passed, interview levels before the others."""
        open_levels = (level for level in self.beyond if level.state not in (State.PASSED, State.SKIPPED))
        return self.interview[self.prefix] if self.prefix < len(self.interview) else next(open_levels, None)

    @property
    def seconds(self) -> float:
        return sum(test.seconds for level in self.levels for test in level.tests)


class DeferredResult(KataResult):
    """A result whose summary is known: its levels are read only when somebody asks for them."""

    def __init__(
        self,
        track: str,
        slug: str,
        framework: str,
        summary: dict[str, Any],
        read: Callable[[], list[LevelResult]],
        message: str = "",
    ):
        """`summary` holds `state` and, as far as they are known, `mastered`, `score`, `total` (or a call for it)."""
        self.track, self.slug, self.framework, self.message = track, slug, framework, message
        self._summary, self._read = summary, read

    @cached_property
    def levels(self) -> list[LevelResult]:
        return self._read()

    @property
    def state(self) -> State:
        return self._summary["state"]

    @property
    def mastered(self) -> bool:
        return self._summary["mastered"] if "mastered" in self._summary else super().mastered

    @property
    def score(self) -> int:
        return self._summary["score"] if "score" in self._summary else super().score

    @property
    def total(self) -> int:
        total = self._summary.get("total")
        return super().total if total is None else total() if callable(total) else total


def grade(track: str, slug: str, framework: str, tests: list[TestResult], message: str = "") -> KataResult:
    """Sort the tests of one kata in one framework into its levels."""
    return KataResult(track, slug, framework, _in_levels(tests), message)


def _in_levels(tests: list[TestResult]) -> list[LevelResult]:
    levels: dict[int, LevelResult] = {}
    for test in tests:
        level = levels.setdefault(test.level, LevelResult(test.level, test.title, test.points, test.beyond, []))
        level.tests.append(test)
    return [levels[number] for number in sorted(levels)]


def not_started(kata: Kata, framework: str, tree: Path, reason: str = "") -> KataResult:
    """The result of a stub that is as it came, or (with a reason) of a framework that is absent; runs nothing."""

    def levels() -> list[LevelResult]:
        stated = levels_in(kata.test_file, framework)
        first = f"{shown(kata.implementation(framework, tree))} is as it came: open it and begin."
        tests = []
        for level in stated:
            later = State.LOCKED if tests else State.NOT_STARTED
            message = reason or ("" if tests else first)
            name = f"level {level.number}"
            test = TestResult(name, name, level.number, level.title, level.points, level.beyond)
            test.state, test.message = State.SKIPPED if reason else later, message
            tests.append(test)
        return _in_levels(tests)

    def total() -> int:
        return 0 if reason else sum(level.points for level in levels_in(kata.test_file, framework))

    state = State.SKIPPED if reason else State.NOT_STARTED
    summary = {"state": state, "mastered": False, "score": 0, "total": total}
    return DeferredResult(kata.track, kata.slug, framework, summary, levels)


STOPPED = "stopped"  # how the message of a test begins that took too long or too much


def timed_out(result: KataResult) -> bool:
    """Whether a limit ended a test: on another day it might have come to its end."""
    tests = [test for level in result.levels for test in level.tests]
    return any(message.startswith(STOPPED) for message in [result.message, *(test.message for test in tests)])


def in_order(results: list[KataResult], catalog: Catalog) -> list[KataResult]:
    """Sorted as the catalog shows them."""
    order = {slug: index for index, slug in enumerate(catalog.katas)}
    return sorted(results, key=lambda result: (order[result.slug], result.framework))


def exit_status(results: list[KataResult]) -> int:
    """1 where anything that was started is not solved; a stub that is as it came is no failure."""
    return int(any(result.state in (State.FAILED, State.ERROR) for result in results))


def to_json(results: list[KataResult]) -> dict[str, Any]:
    """The model as plain data, with what follows from it (states, scores) written out."""
    return {"schema": SCHEMA, "katas": [_kata_to_json(result) for result in results]}


def _kata_to_json(result: KataResult) -> dict[str, Any]:
    levels = [asdict(level) | {"state": level.state} for level in result.levels]
    derived = {
        "state": result.state,
        "solved": result.solved,
        "mastered": result.mastered,
        "score": result.score,
        "total": result.total,
        "seconds": round(result.seconds, 3),
    }
    return {
        "kata": result.slug,
        "track": result.track,
        "framework": result.framework,
        **derived,
        "message": result.message,
        "levels": levels,
    }


def from_json(data: dict[str, Any]) -> list[KataResult]:
    """The inverse of `to_json`; also reads what schema 1 wrote."""
    if data["schema"] not in _READABLE:
        raise DojoError(f"This dojo reads results of schema 1 and 2, not {data['schema']}. Update the repository.")
    return [
        grade(
            kata["track"],
            kata["kata"],
            kata["framework"],
            [read_test(test) for level in kata["levels"] for test in level["tests"]],
            kata["message"],
        )
        for kata in data["katas"]
    ]


def read_test(data: dict[str, Any]) -> TestResult:
    return TestResult(**{**data, "state": data["state"] and State(data["state"])})
