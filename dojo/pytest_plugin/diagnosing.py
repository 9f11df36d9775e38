"""Naming the known mistake behind a failure: the test runs again on each mistake of the kata."""

import time
from types import ModuleType

import pytest

from dojo.compat import renew_fixtures, run_test
from dojo.files import SOLUTIONS
from dojo.pytest_plugin.diagnosis import Budget, diagnose
from dojo.pytest_plugin.items import ERROR, RESULT, event_of, framework_of, is_of_kata, kata_of, key_of
from dojo.pytest_plugin.loading import Loading
from dojo.pytest_plugin.run import Run


class Diagnosing:
    """Each kata's failures are diagnosed until one is named."""

    def __init__(self, run: Run, loading: Loading):
        self.run, self.loading = run, loading
        self.enabled = run.settings.diagnosis and not run.option.no_diagnosis and run.option.impl != "solutions"
        self.named: set[tuple[str, str]] = set()
        self.budgets: dict[tuple[str, str], Budget] = {}
        self.error: BaseException | None = None  # what the test raised on a known mistake

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run the test; see whether a known mistake fails alike; then report."""
        if not is_of_kata(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        started = time.process_time(), time.monotonic()
        reports = run_test(item, nextitem)
        cost = time.process_time() - started[0], time.monotonic() - started[1]
        failed = ERROR in item.stash
        if failed and self.enabled and key_of(item) not in self.named:
            self._diagnose(item, nextitem, cost)
            reports[-1].dojo = event_of(item)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if failed and self.run.option.stop_when_refused and (key_of(item) in self.named or not self.enabled):
            item.session.shouldstop = "refused"
        return True

    def _diagnose(self, item: pytest.Item, nextitem: pytest.Item | None, cost: tuple[float, float]) -> None:
        def rerun(module: ModuleType) -> BaseException | None:
            self.error = None
            renew_fixtures(item)
            with self.loading.standing_in(module):
                run_test(item, nextitem)
            return self.error

        result, key = item.stash[RESULT], key_of(item)
        trees = self.run.tree, self.run.config.rootpath / SOLUTIONS.name
        budget = self.budgets.setdefault(key, Budget(self.run.option.diagnosis_seconds))
        kata, framework, stop = kata_of(item), framework_of(item), self.run.option.stop_when_refused
        result.diagnosis = diagnose(
            item.stash[ERROR], kata, framework, result.level, trees, rerun, cost, budget, one_suffices=stop
        )
        if result.diagnosis:
            self.named.add(key)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        """Keep what the test raises while a known mistake stands in."""
        if self.loading.stand_in is not None and call.excinfo and not self.error:
            self.error = call.excinfo.value
        return (yield)
