"""The result model: tests into levels, levels into points. Every report is a writer over it."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA = 1  # of the JSON form; grows when a reader of the old form would misread the new


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
    tests: list[TestResult]

    @property
    def state(self) -> State:
        states = {test.state for test in self.tests}
        for decisive in (State.ERROR, State.NOT_STARTED, State.FAILED):
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
    def prefix(self) -> int:
        """How many levels from the first one on are passed; a skipped level neither counts nor breaks the row."""
        for index, level in enumerate(self.levels):
            if level.state not in (State.PASSED, State.SKIPPED):
                return index
        return len(self.levels)

    @property
    def score(self) -> int:
        return sum(level.points for level in self.levels[: self.prefix] if level.state is State.PASSED)

    @property
    def total(self) -> int:
        """The points to be had; a level that this machine cannot run is not among them."""
        return sum(level.points for level in self.levels if level.state is not State.SKIPPED)

    @property
    def state(self) -> State:
        states = {level.state for level in self.levels}
        for decisive in (State.ERROR, State.NOT_STARTED, State.FAILED):
            if decisive in states:
                return decisive
        if self.message or not self.levels or State.LOCKED in states:
            return State.FAILED
        return State.PASSED if State.PASSED in states else State.SKIPPED

    @property
    def first_open(self) -> LevelResult | None:
        """The level where the learner stands: the first that is not passed."""
        return self.levels[self.prefix] if self.prefix < len(self.levels) else None

    @property
    def seconds(self) -> float:
        return sum(test.seconds for level in self.levels for test in level.tests)


def grade(track: str, slug: str, framework: str, tests: list[TestResult], message: str = "") -> KataResult:
    """Sort the tests of one kata in one framework into its levels."""
    levels: dict[int, LevelResult] = {}
    for test in tests:
        level = levels.setdefault(test.level, LevelResult(test.level, test.title, test.points, []))
        level.tests.append(test)
    return KataResult(track, slug, framework, [levels[number] for number in sorted(levels)], message)


def to_json(results: list[KataResult]) -> dict[str, Any]:
    """The model as plain data, with what follows from it (states, scores) written out."""
    return {"schema": SCHEMA, "katas": [_kata_to_json(result) for result in results]}


def _kata_to_json(result: KataResult) -> dict[str, Any]:
    levels = [asdict(level) | {"state": level.state} for level in result.levels]
    derived = {"state": result.state, "score": result.score, "total": result.total, "seconds": round(result.seconds, 3)}
    return {
        "kata": result.slug,
        "track": result.track,
        "framework": result.framework,
        **derived,
        "message": result.message,
        "levels": levels,
    }


def from_json(data: dict[str, Any]) -> list[KataResult]:
    """The inverse of `to_json`."""
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
