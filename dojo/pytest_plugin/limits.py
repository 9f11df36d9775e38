"""How long a test may take, and what its implementation may do to the process meanwhile."""

import faulthandler

import pytest

from dojo.pytest_plugin.containment import guarded
from dojo.pytest_plugin.items import RESULT, is_of_kata
from dojo.pytest_plugin.recording import Recording
from dojo.pytest_plugin.run import Run

_GRACE = 3  # seconds after a test's time limit until the child is ended


class Limits:
    def __init__(self, run: Run, recording: Recording):
        self.run, self.recording = run, recording
        self.hang = None  # the file for the stack of a test that hangs

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        tests = [item for item in session.items if is_of_kata(item)]
        for item in tests:
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(self.run.test_seconds))
        self.recording.plan(tests, sum(map(self.seconds, tests)))

    def seconds(self, item: pytest.Item) -> float:
        """How many seconds the test may take: its own marker says, or the settings."""
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker and marker.args else self.run.test_seconds

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """In a child of its own, a test that its time limit cannot interrupt is ended from outside of Python."""
        if is_of_kata(item) and self.run.events:
            self.recording.event(start=item.stash[RESULT].id)
            self.hang = self.hang or self.run.events.with_suffix(".hang").open("w", encoding="utf-8")
            faulthandler.dump_traceback_later(self.seconds(item) + _GRACE, exit=True, file=self.hang)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function):
        if not is_of_kata(pyfuncitem):
            return (yield)
        with guarded(self.run.settings):
            return (yield)

    def pytest_sessionfinish(self) -> None:
        faulthandler.cancel_dump_traceback_later()
