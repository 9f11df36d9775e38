"""Which tests may run: nothing of a stub that is as it came, and no level before those that it waits for."""

import pytest

from dojo.curriculum.frameworks import absent
from dojo.curriculum.stubs import is_started
from dojo.files import shown
from dojo.grading import State
from dojo.pytest_plugin.items import RESULT, framework_of, is_of_kata, kata_of, key_of
from dojo.pytest_plugin.loading import Loading
from dojo.pytest_plugin.run import Run


class NotStarted(Exception):
    """The stub is as it came."""


class Locked(Exception):
    """An earlier level is not passed."""


class Gate:
    def __init__(self, run: Run, loading: Loading):
        self.run, self.loading = run, loading
        self.stopped: dict[tuple[str, str], int] = {}  # (kata, framework) to the first interview level not passed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Lock, or say that nothing is written yet, before any fixture imports a framework."""
        if not is_of_kata(item) or self.loading.stand_in is not None:
            return
        kata, framework, result = kata_of(item), framework_of(item), item.stash[RESULT]
        if reason := absent(framework):
            pytest.skip(reason)
        stopped = self.stopped.get(key_of(item))
        if stopped and (result.beyond or stopped < result.level) and not self.run.option.all_levels:
            raise Locked(f"level {stopped} first")
        path = kata.implementation(framework, self.run.tree)
        if path not in self.loading.modules and not is_started(path):
            raise NotStarted(f"{shown(path)} is as it came: open it and begin.")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the first interview level that is not passed: what comes after it stays locked."""
        data = getattr(report, "dojo", None)
        if data and data["test"]["state"] not in (State.PASSED, State.SKIPPED, None) and not data["test"]["beyond"]:
            self.stopped.setdefault((data["kata"], data["framework"]), data["test"]["level"])
