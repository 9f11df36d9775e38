"""From the exception of a test to a state and to words."""

import pytest

from dojo.errors import DojoError
from dojo.grading import State, TestResult
from dojo.pytest_plugin import explain
from dojo.pytest_plugin.calls import call_of, definition
from dojo.pytest_plugin.containment import Forbidden
from dojo.pytest_plugin.fixtures import MissingGpu
from dojo.pytest_plugin.gate import Locked, NotStarted
from dojo.pytest_plugin.items import ERROR, RESULT, event_of, framework_of, is_of_kata, kata_of
from dojo.pytest_plugin.loading import Loading
from dojo.pytest_plugin.run import Run

_LONGEST_OUTPUT = 2000  # characters of what the learner printed that a report keeps


class Verdicts:
    def __init__(self, run: Run, loading: Loading):
        self.run, self.loading = run, loading

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        report = yield
        if not is_of_kata(item) or self.loading.stand_in is not None:
            return report
        result = item.stash[RESULT]
        result.seconds += call.duration
        if call.excinfo is not None:
            self._judge(item, call, result, report)
        elif call.when == "call":
            result.state = State.PASSED
        result.output = _cut(report.capstdout + report.capstderr) if result.state is State.FAILED else ""
        report.sections = [(name, _cut(text)) for name, text in report.sections]
        report.dojo = event_of(item)
        return report

    def _judge(self, item: pytest.Item, call: pytest.CallInfo, result: TestResult, report: pytest.TestReport) -> None:
        """Which state the exception means; where it is a failure, in which words."""
        error = call.excinfo.value
        where = explain.line_in(self._path(item), error)
        result.message = str(error)
        if isinstance(error, Locked):
            result.state, report.outcome = State.LOCKED, "skipped"
            report.longrepr = (str(item.path), 0, str(error))
        elif isinstance(error, NotStarted):
            result.state, report.outcome, report.longrepr = State.NOT_STARTED, "failed", str(error)
        elif isinstance(error, pytest.skip.Exception) and not where:
            result.state, result.message = State.SKIPPED, str(error.msg)
        elif result.beyond and where and explain.is_unwritten(error) and self.run.option.impl != "solutions":
            result.state, report.outcome, result.where = State.NOT_STARTED, "skipped", where
            report.longrepr = (str(item.path), 0, str(error))
        elif call.when == "teardown" or isinstance(error, MissingGpu | pytest.FixtureLookupError):
            result.state, result.message = State.ERROR, f"{type(error).__name__}: {error}"
        else:
            self._explain(item, error, where, result, report)

    def _explain(
        self, item: pytest.Item, error: BaseException, where: str, result: TestResult, report: pytest.TestReport
    ) -> None:
        """A failure: what was demanded, how the code was called, what came, and where to look."""
        if not isinstance(error, Forbidden | SyntaxError | DojoError):
            item.stash[ERROR] = error
        path = self._path(item)
        module = self.loading.modules.get(path)
        called = call_of(item.function, item.path, error)
        result.state, report.outcome = State.FAILED, "failed"
        result.call, result.inputs = called.text, called.inputs
        result.message = explain.message(error, where, None if isinstance(module, BaseException) else module)
        result.where = where or definition(path, called.name)
        if self.run.config.option.tbstyle == "no":  # the verdict replaces pytest's own account
            report.longrepr = f"{result.message}\n{result.where}"

    def _path(self, item: pytest.Item):
        return kata_of(item).implementation(framework_of(item), self.run.tree)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_OUTPUT else f"{text[:_LONGEST_OUTPUT]}\n… ({len(text)} characters in all)"
