"""What came of each test: gathered, written as events while the run goes on, and as JSON at its end."""

import json
from pathlib import Path

import pytest

from dojo.grading import KataResult, State, grade, read_test, to_json
from dojo.pytest_plugin.items import event_of, is_of_kata
from dojo.pytest_plugin.run import Run


class Recording:
    def __init__(self, run: Run):
        self.run = run
        self.results: dict[tuple[str, str], list] = {}  # (kata, framework) to its tests' results
        # Some tests of a kata were left out, so what ran says nothing about the whole.
        self.partial = bool(any("::" in argument for argument in run.config.args) or run.option.maxfail)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.partial = self.partial or any(map(is_of_kata, items))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what each test said; under xdist this runs where the results come together."""
        data = getattr(report, "dojo", None)
        if data and report.when == "teardown":
            key = data["kata"], data["framework"]
            self.results.setdefault(key, []).append(read_test(data["test"]))
            self.event(result=data)

    def graded(self) -> list[KataResult]:
        find = self.run.catalog.find
        return [grade(find(slug).track, slug, framework, tests) for (slug, framework), tests in self.results.items()]

    def plan(self, tests: list[pytest.Item], seconds: float) -> None:
        """What is going to run, and how long it may take together."""
        self.event(plan=[event_of(item) for item in tests], seconds=seconds)

    def event(self, **event) -> None:
        if self.run.events and not self.run.is_worker:
            with self.run.events.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        graded = self.graded()
        if self.run.option.report and not self.run.is_worker:
            text = json.dumps(to_json(graded), indent=1)
            Path(self.run.option.report).write_text(text + "\n", encoding="utf-8")
        if session.exitstatus == pytest.ExitCode.TESTS_FAILED and self._only_beyond_fails(session, graded):
            session.exitstatus = pytest.ExitCode.OK
        self.event(finished=session.shouldstop or True)

    def _only_beyond_fails(self, session: pytest.Session, graded: list[KataResult]) -> bool:
        """A kata that is solved and not mastered is no failure, unless it is a reference solution."""
        failed = {State.FAILED, State.NOT_STARTED, State.ERROR}
        count = sum(test.state in failed for tests in self.results.values() for test in tests)
        solved = all(result.state in (State.PASSED, State.SKIPPED) for result in graded)
        return solved and self.run.option.impl != "solutions" and session.testsfailed <= count
