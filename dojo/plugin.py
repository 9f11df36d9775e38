"""The pytest plugin: runs a kata's levels on one implementation tree, in order, and grades them.

It touches only tests below katas/; other tests run as pytest runs them.
"""

import faulthandler
import json
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from dojo import explain
from dojo.catalog import Catalog, Kata, shown
from dojo.errors import DojoError
from dojo.grading import KataResult, State, TestResult, grade, read_test, to_json
from dojo.guard import Forbidden, guarded
from dojo.selection import absent, exact_slug, find_tree, frameworks_of, parse_frameworks
from dojo.settings import read_settings

_GRACE = 3  # seconds after a test's time limit until the child is ended
_LONGEST_OUTPUT = 2000  # characters of what the learner printed that a report keeps
_result = pytest.StashKey[TestResult]()
_error = pytest.StashKey[BaseException]()


class NotStarted(Exception):
    """The stub is as it came."""


class Locked(Exception):
    """An earlier level is not passed."""


class MissingGpu(Exception):
    """A GPU was required and there is none."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dojo")
    group.addoption(
        "--impl", default="katas", metavar="TREE", help="what to test: katas, solutions or a folder like them"
    )
    group.addoption("--framework", metavar="NAME", help="numpy, torch, tensorflow or all; default: those started")
    group.addoption("--all-levels", action="store_true", help="do not lock the levels after the first that fails")
    group.addoption("--report", metavar="FILE", help="write the results as JSON")
    group.addoption(
        "--test-seconds", type=float, metavar="N", help="how long one test may take; default: as dojo.toml says"
    )
    group.addoption("--no-diagnosis", action="store_true", help="do not look for a known mistake behind a failure")
    group.addoption(
        "--diagnosis-seconds", type=float, default=1, metavar="N", help="how long to look for one (default 1)"
    )
    group.addoption("--require-gpu", action="store_true", help="a GPU test that finds no GPU is an error")
    group.addoption("--events", metavar="FILE", help="append the plan and each result as it comes, a JSON line each")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    catalog = Catalog(config.rootpath / "katas")
    try:
        dojo = Dojo(config, catalog)
    except DojoError as error:
        raise pytest.UsageError(str(error)) from None
    kata = exact_slug(config.option.keyword, catalog)
    if kata and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = [str(kata.folder)]
        dojo.only = kata.folder
    config.pluginmanager.register(dojo, "dojo")


class Dojo:
    """What one run of pytest knows: the tree under test, the options, and what came of each test."""

    def __init__(self, config: pytest.Config, catalog: Catalog):
        option = config.option
        self.config, self.catalog = config, catalog
        self.only: Path | None = None  # the folder of the one kata that was asked for by name
        self.unknown = ""  # what -k looked for among all katas, and no test has
        self.settings = read_settings(config.rootpath / "dojo.toml")
        self.test_seconds = option.test_seconds or self.settings.test_seconds
        self.tree = find_tree(option.impl, config.rootpath, config.invocation_params.dir)
        self.wanted = parse_frameworks(option.framework)
        self.events = Path(option.events) if option.events else None
        self.hang = None  # the file for the stack of a test that hangs
        self.stopped: dict[tuple[str, str], int] = {}  # (kata, framework) to the first level that was not passed
        self.modules: dict[Path, object] = {}  # implementation file to its module, or to the error of its import
        # What is diagnosed: each kata's failures until one is named, by standing in each known mistake for the
        # implementation.
        self.diagnosing = self.settings.diagnosis and not option.no_diagnosis and option.impl != "solutions"
        self.diagnosed: set[tuple[str, str]] = set()
        self.budgets: dict[tuple[str, str], object] = {}  # (kata, framework) to what its diagnosis may still cost
        self.stand_in, self.stand_in_error = None, None
        # Some tests of a kata were left out, so what ran says nothing about the whole.
        self.partial = any("::" in argument for argument in config.args) or option.maxfail
        self.results: dict[tuple[str, str], list[TestResult]] = {}
        self.marks: dict[tuple[str, str], str] = {}  # (kata, framework) to the fingerprint of what a learner runs
        # The verdict replaces pytest's own account, unless somebody asks for that.
        self.brief = option.tbstyle == "auto" and option.verbose <= 0

    # ---------------------------------------------------------------- collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Pass over the neighbours of the one kata asked for, of which pytest would otherwise make a node each."""
        if self.only is None or self.only.is_relative_to(collection_path) or collection_path.is_relative_to(self.only):
            return None
        return True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per framework for whatever uses an implementation or an adapter."""
        kata = self.catalog.owner(Path(metafunc.definition.path))
        if kata is None or "framework" not in metafunc.fixturenames:
            return
        names = self._frameworks(kata)
        marker = metafunc.definition.get_closest_marker("level")
        needs_framework = (marker and marker.args[3]) or metafunc.definition.get_closest_marker("gpu")
        if needs_framework:
            names = tuple(name for name in names if name != "numpy")
        metafunc.parametrize("framework", names, indirect=True, scope="session")

    @cache  # noqa: B019 - one Dojo lives as long as its process
    def _frameworks(self, kata: Kata) -> tuple[str, ...]:
        return frameworks_of(kata, self.tree, self.wanted, self.settings.frameworks)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Drop what is made for no framework, note what each test is, and put the levels in order."""
        items[:] = [item for item in items if not _is_empty(item)]
        for item in items:
            if kata := self.catalog.owner(item.path):
                item.stash[_result] = _describe(item, kata)
                if not item.get_closest_marker("timeout"):
                    item.add_marker(pytest.mark.timeout(self.test_seconds))
        items.sort(key=self._order)

    def _order(self, item: pytest.Item) -> tuple:
        if _result not in item.stash:
            return ("", 0, 0)
        kata, framework = _key(item)
        return (str(item.path), kata.frameworks.index(framework), item.stash[_result].level)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        tests = [item for item in session.items if _result in item.stash]
        self._event(plan=[_event_of(item) for item in tests], seconds=sum(self.limit(item) for item in tests))
        self.brief = self.brief and len(tests) == len(session.items) and not session.testsfailed
        if not session.items and self.config.args_source is not pytest.Config.ArgsSource.ARGS:
            self.unknown = self.config.option.keyword
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if self.brief and reporter:
            self.config.option.tbstyle, reporter.reportchars = "no", ""

    # ---------------------------------------------------------------- running

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session):
        """Note what is begun as it is now, and import its frameworks before the clock of any test runs."""
        from dojo.adapters import open_adapter
        from dojo.loader import is_started

        for kata, framework in {_key(item) for item in session.items if _result in item.stash}:
            if not absent(framework) and is_started(kata.implementation(framework, self.tree)):
                self._note(kata, framework)
                with suppress(ImportError):  # a broken installation is told where it is needed
                    open_adapter(framework)
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Lock, or say that nothing is written yet, before any fixture imports a framework."""
        if _result not in item.stash or self.stand_in is not None:
            return
        kata, framework = _key(item)
        self._event(start=item.stash[_result].id)
        self._hang_watch(item)
        if reason := absent(framework):
            pytest.skip(reason)
        stopped = self.stopped.get((kata.slug, framework), item.stash[_result].level)
        if stopped < item.stash[_result].level and not self.config.option.all_levels:
            raise Locked(f"level {stopped} first")
        from dojo.loader import is_started

        path = kata.implementation(framework, self.tree)
        if path not in self.modules and not is_started(path):
            raise NotStarted(f"{shown(path)} is as it came: open it and begin.")

    def limit(self, item: pytest.Item) -> float:
        """How many seconds the test may take: its own marker says, or the settings."""
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker and marker.args else self.test_seconds

    def _hang_watch(self, item: pytest.Item) -> None:
        """In a child of its own, a test that its time limit cannot interrupt is ended from outside of Python."""
        if self.events:
            self.hang = self.hang or self.events.with_suffix(".hang").open("w", encoding="utf-8")
            faulthandler.dump_traceback_later(self.limit(item) + _GRACE, exit=True, file=self.hang)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run the test; see whether a known mistake fails alike, if it is its kata's first to fail; then report."""
        if _result not in item.stash or not self.diagnosing:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        begun = time.process_time(), time.monotonic()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        cost = time.process_time() - begun[0], time.monotonic() - begun[1]
        kata, framework = _key(item)
        if (error := item.stash.get(_error, None)) and (kata.slug, framework) not in self.diagnosed:
            self._diagnose(item, nextitem, error, cost)
            reports[-1].dojo = _event_of(item)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _diagnose(
        self, item: pytest.Item, nextitem: pytest.Item | None, error: BaseException, cost: tuple[float, float]
    ) -> None:
        from dojo.diagnosis import Budget, diagnose

        def rerun(module: object) -> BaseException | None:
            self.stand_in, self.stand_in_error = module, None
            item._initrequest()
            try:
                runtestprotocol(item, nextitem=nextitem, log=False)
            finally:
                self.stand_in = None
            return self.stand_in_error

        (kata, framework), result = _key(item), item.stash[_result]
        trees = self.tree, self.config.rootpath / "solutions"
        budget = self.budgets.setdefault((kata.slug, framework), Budget(self.config.option.diagnosis_seconds))
        result.diagnosis = diagnose(error, kata, framework, result.level, trees, rerun, cost, budget)
        if result.diagnosis:
            self.diagnosed.add((kata.slug, framework))

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function):
        if _result not in pyfuncitem.stash:
            return (yield)
        with guarded(self.settings):
            return (yield)

    def load(self, kata: Kata, framework: str) -> object:
        """The implementation's module; imported once, and its error told again each time it is asked for."""
        from dojo.loader import load, refuse_forbidden

        path = kata.implementation(framework, self.tree)
        if self.stand_in is not None:
            return self.stand_in
        if path not in self.modules:
            try:
                refuse_forbidden(path, kata.meta.get("off_limits", []))
                with guarded(self.settings):
                    self.modules[path] = load(path)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                self.modules[path] = error
        if isinstance(self.modules[path], BaseException):
            raise self.modules[path]
        return self.modules[path]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
        report = yield
        if _result not in item.stash:
            return report
        if self.stand_in is not None:
            self.stand_in_error = self.stand_in_error or (call.excinfo and call.excinfo.value)
            return report
        result = item.stash[_result]
        result.seconds += call.duration
        kata, framework = _key(item)
        if call.excinfo is not None:
            self._explain(item, call, result, report)
        elif call.when == "call":
            result.state = State.PASSED
        result.output = _cut(report.capstdout + report.capstderr) if result.state is State.FAILED else ""
        report.sections = [(name, _cut(text)) for name, text in report.sections]
        if result.state not in (State.PASSED, State.SKIPPED, None):
            self.stopped.setdefault((kata.slug, framework), result.level)
        report.dojo = _event_of(item)
        return report

    def _explain(self, item: pytest.Item, call: pytest.CallInfo, result: TestResult, report: pytest.TestReport) -> None:
        """Turn the exception into a state and into words."""
        kata, framework = _key(item)
        path, error = kata.implementation(framework, self.tree), call.excinfo.value
        where = explain.line_in(path, error)
        if isinstance(error, Locked | NotStarted):
            result.state = State.LOCKED if isinstance(error, Locked) else State.NOT_STARTED
            result.message = str(error)
            report.outcome = "skipped" if isinstance(error, Locked) else "failed"
            report.longrepr = (str(item.path), 0, str(error)) if isinstance(error, Locked) else str(error)
            return
        if isinstance(error, pytest.skip.Exception) and not where:
            result.state, result.message = State.SKIPPED, str(error.msg)
            return
        if call.when == "teardown" or _is_harness_error(error):
            result.state, result.message = State.ERROR, f"{type(error).__name__}: {error}"
            return
        report.outcome = "failed"
        if not isinstance(error, Forbidden | SyntaxError | DojoError):
            item.stash[_error] = error
        module = self.modules.get(path)
        result.state = State.FAILED
        result.call, result.inputs, called = explain.call_of(item.function, error)
        result.message = explain.message(error, where, None if isinstance(module, BaseException) else module)
        result.where = where or explain.definition(path, called)
        report.longrepr = f"{result.message}\n{result.where}" if self.brief else report.longrepr

    # ---------------------------------------------------------------- results

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what each test said; under xdist this runs where the results come together."""
        data = getattr(report, "dojo", None)
        if data is None or report.when != "teardown":
            return
        key = data["kata"], data["framework"]
        self.results.setdefault(key, []).append(read_test(data["test"]))
        self._event(result=data)

    def graded(self) -> list[KataResult]:
        return [
            grade(self.catalog.find(slug).track, slug, framework, tests)
            for (slug, framework), tests in self.results.items()
        ]

    def pytest_sessionfinish(self) -> None:
        if self.config.option.report and not hasattr(self.config, "workerinput"):
            text = json.dumps(to_json(self.graded()), indent=1)
            Path(self.config.option.report).write_text(text + "\n", encoding="utf-8")
        faulthandler.cancel_dump_traceback_later()
        self._remember()
        self._event(finished=True)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.partial = self.partial or any(_result in item.stash for item in items)

    def _note(self, kata: Kata, framework: str) -> None:
        """Take the fingerprint of a learner's own run; who asked for an isolated child has taken it already."""
        option, part = self.config.option, hasattr(self.config, "workerinput")
        if self.tree == self.catalog.root and not (self.events or option.all_levels or option.collectonly or part):
            from dojo.progress import fingerprint

            self.marks[kata.slug, framework] = fingerprint(kata, framework, self.tree)

    def _remember(self) -> None:
        """Keep the results of a learner's own whole run."""
        noted = [result for result in self.graded() if (result.slug, result.framework) in self.marks]
        if noted and not self.partial:
            from dojo.progress import Store, remember

            remember(noted, Store(self.config.rootpath / ".dojo" / "progress.json"), self.marks)

    def _event(self, **event) -> None:
        if self.events and not hasattr(self.config, "workerinput"):
            with self.events.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")

    # ---------------------------------------------------------------- what pytest prints

    def pytest_report_teststatus(self, report: pytest.TestReport):
        """Dots for long work on several cores alone: otherwise the verdict below says it all."""
        if not hasattr(report, "dojo") or not self.brief or self.config.option.__dict__.get("numprocesses"):
            return None
        return ("" if report.when != "call" and report.passed else report.outcome), "", ""

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if self.results and not self.events:
            from dojo.report.terminal import print_verdicts

            print_verdicts(self.graded(), terminalreporter)
        if self.unknown.isidentifier():
            try:
                self.catalog.find(self.unknown)
            except DojoError as error:
                terminalreporter.write_line(str(error))


def _is_harness_error(error: BaseException) -> bool:
    """A GPU or a fixture that is missing: nothing that the implementation could cause."""
    return isinstance(error, MissingGpu | pytest.FixtureLookupError)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_OUTPUT else f"{text[:_LONGEST_OUTPUT]}\n… ({len(text)} characters in all)"


def _is_empty(item: pytest.Item) -> bool:
    """pytest makes one skipped test where a parameter has no values."""
    return hasattr(item, "callspec") and "NOTSET" in item.name and _kata_params(item).get("framework", "") not in _NAMES


_NAMES = {"numpy", "torch", "tensorflow"}


def _kata_params(item: pytest.Item) -> dict:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _key(item: pytest.Item) -> tuple[Kata, str]:
    return Kata(item.path.parent), _kata_params(item).get("framework", "numpy")


def _describe(item: pytest.Item, kata: Kata) -> TestResult:
    marker = item.get_closest_marker("level")
    if marker is None:
        name = item.originalname
        raise pytest.UsageError(f"{shown(item.path)}: {name} has no level. Put @level(number, title) above it.")
    number, title, points, _ = marker.args
    return TestResult(_plain_id(item), _words(item), number, title, points)


def _plain_id(item: pytest.Item) -> str:
    """The test's name and parameters without the framework: the same in every one."""
    return re.sub(r"\b(numpy|torch|tensorflow)\b-?", "", item.name).replace("-]", "]").replace("[]", "")


def _words(item: pytest.Item) -> str:
    """'the formula (heads)' from 'test_the_formula[heads]'."""
    name, _, parameters = _plain_id(item).partition("[")
    words = name.removeprefix("test_").replace("_", " ")
    return f"{words} ({parameters.rstrip(']')})" if parameters else words


def _event_of(item: pytest.Item) -> dict:
    """Plain data: xdist sends nothing else between processes."""
    kata, framework = _key(item)
    test = asdict(item.stash[_result])
    return {"kata": kata.slug, "framework": framework, "test": test | {"state": test["state"] and str(test["state"])}}


# -------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def framework(request: pytest.FixtureRequest) -> str:
    """The name of the framework that the test runs in."""
    return request.param


@pytest.fixture
def fw(framework: str, request: pytest.FixtureRequest):
    """The framework's adapter, its random numbers seeded from the test's id."""
    from dojo.adapters import open_adapter

    adapter = open_adapter(framework)
    adapter.wake()
    adapter.seed(_seed(request))
    return adapter


@pytest.fixture
def impl(framework: str, request: pytest.FixtureRequest):
    """The implementation under test, a module."""
    from dojo.adapters import open_adapter

    open_adapter(framework)
    return request.config.pluginmanager.get_plugin("dojo").load(Kata(request.path.parent), framework)


@pytest.fixture
def rng(request: pytest.FixtureRequest):
    """A NumPy generator seeded from the test's id: the same in every process and framework."""
    import numpy as np

    return np.random.default_rng(_seed(request))


@pytest.fixture
def gpu(framework: str, request: pytest.FixtureRequest):
    """The adapter on this machine's GPU; the test is skipped where there is none, or in error if one is required."""
    from dojo.adapters import open_adapter

    adapter = open_adapter(framework).on_accelerator()
    if adapter is None and request.config.option.require_gpu:
        raise MissingGpu(f"--require-gpu: {framework} finds no GPU on this machine")
    if adapter is None:
        pytest.skip(f"{framework} finds no GPU on this machine")
    adapter.seed(_seed(request))
    return adapter


def _seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.path.parent.name}/{_plain_id(request.node)}".encode())
