"""What pytest prints: the verdicts in place of its own account, unless somebody asks for that."""

import pytest

from dojo.compat import terminal_of
from dojo.errors import DojoError
from dojo.pytest_plugin.items import is_of_kata
from dojo.pytest_plugin.recording import Recording
from dojo.pytest_plugin.run import Run


class Display:
    def __init__(self, run: Run, recording: Recording):
        self.run, self.recording = run, recording
        self.brief = run.option.tbstyle == "auto" and run.option.verbose <= 0
        self.unknown = ""  # what -k looked for among all katas, and no test has

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.brief = self.brief and all(map(is_of_kata, session.items)) and not session.testsfailed
        if not session.items and not self.run.names_paths:
            self.unknown = self.run.option.keyword
        reporter = self.run.config.pluginmanager.get_plugin("terminalreporter")
        if self.brief and reporter:
            self.run.option.tbstyle, reporter.reportchars = "no", ""

    def pytest_report_teststatus(self, report: pytest.TestReport):
        """Dots for long work on several cores only: otherwise the verdict below says it all."""
        if not hasattr(report, "dojo") or not self.brief or getattr(self.run.option, "numprocesses", None):
            return None
        return ("" if report.when != "call" and report.passed else report.outcome), "", ""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.run.is_bare and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK  # nothing is started, which is no failure

    def pytest_terminal_summary(self, terminalreporter) -> None:
        results = self.recording.graded()
        if results and not self.run.events:
            from dojo.report.terminal import write_verdicts  # only who shows a result pays for its import

            write_verdicts(results, *terminal_of(terminalreporter))
        if self.unknown.isidentifier():
            try:
                self.run.catalog.find(self.unknown)
            except DojoError as error:
                terminalreporter.write_line(str(error))
