"""A watching session: katas are checked as their files are saved. `watch` and `interview` both use it."""

import queue
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text
from watchfiles import Change, watch

from dojo.curriculum.frameworks import frameworks_of
from dojo.curriculum.katas import Kata
from dojo.curriculum.stubs import is_started
from dojo.errors import DojoError
from dojo.files import shown
from dojo.grading import KataResult
from dojo.learner.keyboard import keys_pressed
from dojo.learner.progress import Keys, keys_of
from dojo.running.job import Job
from dojo.running.runner import Runner
from dojo.settings import read_settings

DEBOUNCE = 30  # milliseconds without a further change that make a save complete
STEP = 10  # milliseconds between two looks of the watcher
READY = 100  # milliseconds after which the watcher says that it watches, even if nothing is saved
TICK = 0.25  # seconds between two looks at whether the session is over
QUIT = ("q", "\x03", "")  # also Ctrl-C on Windows, and a terminal that was closed


@dataclass(frozen=True)
class Run:
    """A kata being checked."""

    job: Job
    number: int  # the runner's
    saved_at: float
    keys: Keys  # taken before it started

    @property
    def seconds(self) -> float:
        """Since the save."""
        return time.perf_counter() - self.saved_at


@dataclass(frozen=True)
class KeyAction:
    """What a key does."""

    name: str
    act: Callable[[], None]


class WatchSession:
    """Saves, verdicts and keys arrive on one queue and are handled in turn."""

    def __init__(
        self,
        tree: Path,
        katas: list[Kata],
        console: Console,
        on_verdict: Callable[[Run, KataResult], None],
        keys: dict[str, KeyAction],
        on_tick: Callable[[], None] = lambda: None,
    ):
        """
        Args:
            tree: the folder watched, which mirrors katas/.
            katas: a save of any other is ignored.
            on_verdict: called with each run that has ended and its result.
            keys: what the keys do, beside q, which quits.
            on_tick: called before each event, and a few times a second.
        """
        self.tree, self.console, self.keys = tree, console, keys
        self._on_verdict, self._on_tick = on_verdict, on_tick
        self._katas = {kata.slug: kata for kata in katas}
        self._events: queue.Queue[tuple] = queue.Queue()
        self._runner = Runner(tell=lambda framework, reply: self._events.put((self._reply, framework, reply)))
        self._runs: dict[tuple[str, str], Run] = {}  # by kata and framework
        self._last: Job | None = None
        self._closed = self._stopped = False

    @property
    def last(self) -> Job:
        """What was checked last: the keys are about it."""
        if self._last is None:
            raise DojoError("Nothing was checked yet: save a file first.")
        return self._last

    def run(self, at_once: list[tuple[Kata, str]] | None = None) -> None:
        """Watch until the session is over. What is started of `at_once` is checked without waiting for a save."""
        with keys_pressed(lambda key: self._events.put((self._key, key))), self._runner:
            threading.Thread(target=self._watch_files, args=(at_once or [],), daemon=True).start()
            while not (self._stopped or (self._closed and not self._runs)):
                try:
                    handle, *event = self._events.get(timeout=TICK)
                except queue.Empty:
                    handle, event = lambda: None, []
                self._on_tick()
                handle(*event)

    def stop(self) -> None:
        """End the session at once."""
        self._stopped = True

    def close(self) -> None:
        """Check no further save; the session is over when each run has its verdict."""
        self._closed = True

    def again(self) -> None:
        """Check once more what was checked last."""
        self._start(self.last.kata, self.last.framework, time.perf_counter())

    def _watch_files(self, at_once: list[tuple[Kata, str]]) -> None:
        def is_source(change: Change, path: str) -> bool:
            return change is not Change.deleted and path.endswith(".py") and "__pycache__" not in path

        options = {"debounce": DEBOUNCE, "step": STEP, "rust_timeout": READY, "yield_on_timeout": True}
        ready = False
        try:
            for changes in watch(self.tree, watch_filter=is_source, **options):
                if not ready:
                    self._events.put((self._ready, at_once))
                    ready = True
                for path in {Path(path) for _, path in changes}:
                    self._events.put((self._save, path, time.perf_counter()))
        except OSError as error:
            self._events.put((self._unwatched, error))

    # ---------------------------------------------------------------- events

    def _ready(self, at_once: list[tuple[Kata, str]]) -> None:
        self.console.print(Text(f"watching {shown(self.tree)}: save a file to check it", style="bold"))
        if sys.stdin.isatty():
            names = [f"{key} {action.name}" for key, action in self.keys.items()]
            self.console.print(Text(" · ".join([*names, "q quit"]), style="dim"))
        for kata, framework in at_once:
            self._runner.warm_up(framework)
            if is_started(kata.implementation(framework, self.tree)):
                self._start(kata, framework, time.perf_counter())

    def _unwatched(self, error: OSError) -> None:
        raise DojoError(f"{shown(self.tree)} cannot be watched: {error}")

    def _save(self, path: Path, at: float) -> None:
        kata = self._katas.get(path.parent.name)
        if kata is None or not path.exists():
            return
        enabled = read_settings().frameworks
        for framework in frameworks_of(kata, self.tree, enabled, wanted=enabled):
            file = kata.implementation(framework, self.tree)
            if path == file or (path == kata.test_file and is_started(file)):
                self._start(kata, framework, at)

    def _start(self, kata: Kata, framework: str, at: float) -> None:
        """Check the kata; an older run of the same is of no interest any more."""
        if self._closed:
            return
        if before := self._runs.pop((kata.slug, framework), None):
            self._runner.cancel(before.number)
        job = Job(kata, framework, self.tree)
        if not is_started(job.implementation):
            self.console.print(Text(f"{kata.slug} in {framework} is not started.", style="dim"))
            return
        self.console.print(Text(f"checking {kata.slug} in {framework} …", style="dim"))
        self._last, keys = job, keys_of([job])
        self._runs[kata.slug, framework] = Run(job, self._runner.submit(job), at, keys)

    def _reply(self, framework: str, reply: dict | None) -> None:
        for job, result in self._runner.ended(framework, reply):
            self._on_verdict(self._runs.pop((job.kata.slug, job.framework)), result)

    def _key(self, key: str) -> None:
        if key in QUIT:
            self.stop()
        elif action := self.keys.get(key):
            try:
                action.act()
            except DojoError as error:
                self.console.print(Text(str(error), style="yellow"))
