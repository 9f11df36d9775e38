"""Watch katas/ and check each kata when you save it, in a process that has already imported its framework.

Keys: h a hint, n what to do next, r run again, d how your code differs from the solution (once you pass), q quit.
"""

import argparse
import difflib
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text
from watchfiles import Change, watch

from dojo.commands import hint
from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.stubs import is_started
from dojo.errors import DojoError
from dojo.files import ROOT, shown
from dojo.grading import KataResult, State, in_order
from dojo.learner.next_kata import suggest
from dojo.learner.progress import Keys, Store, keys_of, remember
from dojo.learner.results import mine, results_without_running
from dojo.report.board import next_step
from dojo.report.terminal import verdict
from dojo.running.job import Job
from dojo.running.runner import Runner
from dojo.settings import read_settings

DEBOUNCE = 40  # milliseconds without a further change that make a save complete
PATIENCE = 0.25  # seconds between two looks at whether the loop is over
STEP = 15  # milliseconds between two looks of the watcher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("katas", nargs="*", metavar="KATA", help="watch these alone; the first is run at once")
    parser.add_argument("--once", action="store_true", help="end after the first verdict")


def run(args: argparse.Namespace) -> int:
    return Watch(Catalog(), args.katas, Console(highlight=False), args.once).run()


class Watch:
    """The loop: saves, verdicts and keys arrive on one queue and are dealt with in turn."""

    def __init__(
        self, catalog: Catalog, slugs: list[str], console: Console, once: bool = False, tree: Path | None = None
    ):
        """`tree` is the folder watched, which mirrors katas/; by default katas/ itself."""
        self.catalog, self.console, self.once = catalog, console, once
        self.tree = tree or catalog.root
        self.katas = {kata.slug: kata for kata in catalog.select(slugs)}
        self.chosen = bool(slugs)
        self.events: queue.Queue[tuple] = queue.Queue()
        self.runner = Runner(tell=lambda framework, reply: self.events.put(("reply", framework, reply)))
        self.store = Store()
        self.last: Job | None = None  # the job that keys are about
        self.running: dict[tuple[str, str], int] = {}  # (kata, framework) to the number of its run
        self.saved_at: dict[tuple[str, str], float] = {}
        self.keys: Keys = {}

    def run(self) -> int:
        with keys(self.events), self.runner:
            return self.loop()

    def loop(self) -> int:
        threading.Thread(target=self._watch_files, daemon=True).start()
        self.console.print(Text(f"watching {shown(self.tree)}: save a file to check it", style="bold"))
        if sys.stdin.isatty():
            self.console.print(Text("h hint · n next · r run again · d diff · q quit", style="dim"))
        if self.chosen:
            self._run_first()
        while not self.is_over():
            try:
                kind, *rest = self.events.get(timeout=PATIENCE)
            except queue.Empty:
                continue
            if kind == "key" and rest[0] in ("q", "\x03", ""):
                return 0
            if kind == "key":
                self._on_key(rest[0])
            elif kind == "saved":
                self._on_save(*rest)
            elif kind == "reply" and self._on_reply(*rest) and self.once:
                return 0
        return 0

    def is_over(self) -> bool:
        """Whether the loop ends by itself; looked at a few times a second."""
        return False

    def _watch_files(self) -> None:
        def is_kata_source(change: Change, path: str) -> bool:
            return change is not Change.deleted and path.endswith(".py") and "__pycache__" not in path

        for changes in watch(self.tree, watch_filter=is_kata_source, debounce=DEBOUNCE, step=STEP):
            for path in {Path(path) for _, path in changes}:
                self.events.put(("saved", path, time.perf_counter()))

    def _run_first(self) -> None:
        """Check what was named on the command line, as far as it is begun."""
        for kata in self.katas.values():
            for framework in mine(kata, self.tree):
                self.runner.warm_up(framework)
                self._start(kata, framework, time.perf_counter())

    def _on_save(self, path: Path, at: float) -> None:
        kata = self.katas.get(path.parent.name)
        if kata is None or not path.exists():
            return
        for framework in kata.frameworks:
            if framework not in read_settings().frameworks:
                continue
            mine = kata.implementation(framework, self.tree)
            if path == mine or (path == kata.test_file and is_started(mine)):
                self._start(kata, framework, at)

    def _start(self, kata: Kata, framework: str, at: float) -> None:
        """Run the kata; an older run of the same is of no interest any more."""
        key = (kata.slug, framework)
        if key in self.running:
            self.runner.cancel(self.running.pop(key))
        if not is_started(kata.implementation(framework, self.tree)):
            self.console.print(Text(f"{kata.slug} in {framework} is as it came.", style="dim"))
            return
        self.console.print(Text(f"checking {kata.slug} in {framework} …", style="dim"))
        self.last, self.saved_at[key] = Job(kata, framework, self.tree), at
        self.keys |= keys_of([self.last])
        self.running[key] = self.runner.submit(self.last)

    def _on_reply(self, framework: str, reply: dict | None) -> bool:
        """Show the verdicts that a reply brings; says whether there was any."""
        ended = self.runner.ended(framework, reply)
        for job, result in ended:
            key = (job.kata.slug, job.framework)
            self.running.pop(key, None)
            seconds = time.perf_counter() - self.saved_at.pop(key)
            self.console.print(verdict(result))
            self.console.print(Text(f"{seconds:.2f} s after the save. {self._what_next(result)}", style="dim"))
            self.on_result(result)
        return bool(ended)

    def on_result(self, result: KataResult) -> None:
        remember([result], self.store, self.keys)

    def _what_next(self, result: KataResult) -> str:
        if result.state is State.PASSED:
            return "Every level passes."
        level = result.first_open
        return f"Next: level {level.number}, {level.title}." if level else ""

    # ---------------------------------------------------------------- keys

    def _on_key(self, key: str) -> None:
        actions = {"h": self._hint, "n": self._next, "r": self._again, "d": self._diff}
        if action := actions.get(key):
            try:
                action()
            except DojoError as error:
                self.console.print(Text(str(error), style="yellow"))

    def _the_last(self) -> Job:
        if self.last is None:
            raise DojoError("Nothing was checked yet: save a file first.")
        return self.last

    def _hint(self) -> None:
        hint.run(argparse.Namespace(kata=self._the_last().kata.slug, level=None))

    def _next(self) -> None:
        results = in_order(results_without_running(self.catalog, self.store.read()), self.catalog)
        self.console.print(next_step(suggest(results, self.catalog), self.catalog))

    def _again(self) -> None:
        job = self._the_last()
        self._start(job.kata, job.framework, time.perf_counter())

    def is_passed(self, job: Job) -> bool:
        result = self.store.read().last_result(job.kata.slug, job.framework)
        return result is not None and result.state is State.PASSED

    def _diff(self) -> None:
        job = self._the_last()
        if not self.is_passed(job):
            raise DojoError("The solution is shown once all levels pass.")
        mine, reference = job.implementation, job.kata.implementation(job.framework, ROOT / "solutions")
        lines = difflib.unified_diff(
            mine.read_text(encoding="utf-8").splitlines(),
            reference.read_text(encoding="utf-8").splitlines(),
            "yours",
            "the solution",
            lineterm="",
        )
        self.console.print(Syntax("\n".join(lines), "diff"))


@contextmanager
def keys(events: queue.Queue) -> Iterator[None]:
    """Put each key pressed on the queue; where there is no terminal, nothing."""
    if not sys.stdin.isatty():
        yield
        return
    if sys.platform == "win32":
        threading.Thread(target=_read_windows_keys, args=(events,), daemon=True).start()
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    threading.Thread(target=_read_keys, args=(events,), daemon=True).start()
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _read_keys(events: queue.Queue) -> None:
    while True:
        key = sys.stdin.read(1)
        events.put(("key", key))
        if not key:
            return


def _read_windows_keys(events: queue.Queue) -> None:
    import msvcrt

    while True:
        events.put(("key", msvcrt.getwch()))
