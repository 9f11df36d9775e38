"""What a learner has done, kept as plain text: .dojo/progress.json, and the levels of each result in .dojo/results/.

Results are remembered under a key of all that they depend on, so that nothing unchanged runs twice. Writers
take turns by a lock beside the file, and replace it whole: two runs at once lose nothing.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dojo.errors import DojoError
from dojo.files import ROOT, shown
from dojo.grading import DeferredResult, KataResult, LevelResult, State, from_json, to_json
from dojo.keys import Files, key_of
from dojo.running.job import Job

SCHEMA = 2  # of the file; a file of another schema is set aside
_SUMMARISED = ("track", "message", "state", "mastered", "score", "total")
_PATIENCE = 10  # seconds to wait for another run that is writing


@dataclass
class Entry:
    """One kata in one framework."""

    key: str = ""  # what the remembered result depends on
    summary: dict[str, Any] = field(default_factory=dict)  # of the remembered result: what the board needs
    passed_once: bool = False  # it passed at some time, perhaps not now
    seconds: float = 0.0  # worked on it, as far as its runs tell
    last_run: float = 0.0  # when, in seconds since 1970
    runs: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)  # each change of the score: when, score, total


@dataclass
class Progress:
    """All that is remembered. `notice` says, in a sentence, when a broken file had to be set aside."""

    entries: dict[str, Entry] = field(default_factory=dict)  # "kata/framework" to its entry
    hints: dict[str, dict[str, int]] = field(default_factory=dict)  # kata to level to how many hints were shown
    given_up: dict[str, str] = field(default_factory=dict)  # kata to the day on which its solution was shown unsolved
    interviews: list[dict[str, Any]] = field(default_factory=list)  # scorecards
    notice: str = ""
    folder: Path | None = None  # of the results' levels, a file each: few are ever asked for
    fresh: dict[str, KataResult] = field(default_factory=dict)  # results whose levels are not written yet

    def entry(self, slug: str, framework: str) -> Entry:
        return self.entries.setdefault(f"{slug}/{framework}", Entry())

    def recall(self, slug: str, framework: str, key: str) -> KataResult | None:
        """The remembered result, if it was earned under the same key."""
        entry = self.entries.get(f"{slug}/{framework}")
        return self.last_result(slug, framework) if entry and entry.key == key else None

    def last_result(self, slug: str, framework: str) -> KataResult | None:
        """The result of the last run, though the file may have changed since."""
        name = f"{slug}/{framework}"
        entry = self.entries.get(name)
        if name in self.fresh or entry is None or not entry.summary:
            return self.fresh.get(name)
        file = _levels_file(self.folder, name)
        if not file.exists():
            return None
        summary = entry.summary | {"state": State(entry.summary["state"])}
        track, message = summary.pop("track"), summary.pop("message")
        return DeferredResult(track, slug, framework, summary, lambda: _read_levels(file), message)

    def remember(self, result: KataResult, key: str) -> None:
        """Keep a result, what it adds to the history, and the time since the last run if work went on meanwhile."""
        entry, now = self.entry(result.slug, result.framework), time.time()
        pause = now - entry.last_run
        entry.seconds += pause if pause < _LONGEST_PAUSE else result.seconds
        entry.last_run, entry.runs = now, entry.runs + 1
        if not entry.history or entry.history[-1]["score"] != result.score:
            entry.history.append({"at": _now(), "score": result.score, "total": result.total})
        entry.passed_once = entry.passed_once or result.state is State.PASSED
        # What no fault of the learner's spoiled may come out otherwise next time.
        steady = result.state in (State.PASSED, State.FAILED)
        entry.key = key if steady else ""
        self.keep(result if steady else None, f"{result.slug}/{result.framework}")

    def keep(self, result: KataResult | None, name: str) -> None:
        """Have the result written, or forget what was kept before it."""
        self.entries[name].summary = _summary(result) if result else {}
        self.fresh.pop(name, None)
        if result:
            self.fresh[name] = result

    def reopened(self, result: KataResult) -> bool:
        """The kata passed at some time and does not now."""
        entry = self.entries.get(f"{result.slug}/{result.framework}")
        return entry is not None and entry.passed_once and result.state is State.FAILED

    def show_hint(self, slug: str, level: int, available: int) -> int:
        """Count one more hint of the level as shown; returns how many are shown by now."""
        shown_before = self.hints.setdefault(slug, {}).get(str(level), 0)
        self.hints[slug][str(level)] = min(shown_before + 1, available)
        return self.hints[slug][str(level)]

    def give_up(self, slug: str) -> None:
        self.given_up.setdefault(slug, _now())


_LONGEST_PAUSE = 20 * 60  # seconds between two runs that still count as work


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


class Store:
    """The files, and who may write them."""

    def __init__(self, path: Path = ROOT / ".dojo" / "progress.json"):
        self.path = path
        self.results = path.with_name("results")

    def read(self) -> Progress:
        """What the file holds; nothing where there is none. A broken file is set aside, and a notice says so."""
        try:
            return _from_json(json.loads(self.path.read_text(encoding="utf-8")), self.results)
        except FileNotFoundError:
            return Progress(folder=self.results)
        except (ValueError, TypeError, KeyError, AttributeError, OSError, DojoError):
            aside = self.path.with_name(f"progress-broken-{int(time.time())}.json")
            os.replace(self.path, aside)
            notice = f"Your progress file could not be read; it is kept as {shown(aside)}."
            return Progress(notice=notice, folder=self.results)

    @contextmanager
    def editing(self) -> Iterator[Progress]:
        """The progress to change: read under a lock, and written whole when the block ends."""
        from filelock import FileLock  # whoever only reads does without

        self.results.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock", timeout=_PATIENCE):
            progress = self.read()
            yield progress
            for name, result in progress.fresh.items():
                _replace(_levels_file(self.results, name), to_json([result]))
            _replace(self.path, _to_json(progress))


def _replace(path: Path, content: dict[str, Any]) -> None:
    """Write the file so that a reader sees all of the old one or all of the new one."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def _levels_file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('/', '.')}.json"


def _read_levels(file: Path) -> list[LevelResult]:
    try:
        (result,) = from_json(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        raise DojoError(f"{shown(file)} cannot be read: delete it, and run nox -s check.") from None
    return result.levels


def _summary(result: KataResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in _SUMMARISED}


def _check(summary: dict[str, Any]) -> None:
    """A ValueError for one that nobody here has written."""
    State(summary["state"])
    if set(summary) != set(_SUMMARISED):
        raise ValueError("a summary of other keys")


def _to_json(progress: Progress) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "entries": {key: vars(entry) for key, entry in progress.entries.items()},
        "hints": progress.hints,
        "given_up": progress.given_up,
        "interviews": progress.interviews,
    }


def _from_json(data: dict[str, Any], folder: Path) -> Progress:
    if data["schema"] not in (1, SCHEMA):
        raise ValueError(f"schema {data['schema']}")
    progress = Progress({}, data["hints"], data["given_up"], data["interviews"], folder=folder)
    for name, values in data["entries"].items():
        values.pop("fingerprint", None)  # of schema 1: what it stood for is no key today
        whole = values.pop("result", {})  # schema 1 kept it here
        entry = progress.entries[name] = Entry(**values)
        if whole:
            (result,) = from_json(whole)
            progress.keep(result, name)
        elif entry.summary:
            _check(entry.summary)
    return progress


Keys = dict[tuple[str, str], str]  # (kata, framework) to the key of its result


def keys_of(jobs: Iterable[Job]) -> Keys:
    """The keys as the files are now. Taken before a run: a save meanwhile must not pass for what was run."""
    files = Files()
    return {
        (job.kata.slug, job.framework): str(key_of(job.kata, job.framework, job.implementation, files)) for job in jobs
    }


def recall(jobs: list[Job], progress: Progress, keys: Keys) -> tuple[list[Job], list[KataResult]]:
    """The jobs that must run, and the remembered results of the others."""
    left, known = [], []
    for job in jobs:
        result = progress.recall(job.kata.slug, job.framework, keys[job.kata.slug, job.framework])
        if result:
            known.append(result)
        else:
            left.append(job)
    return left, known


def remember(results: list[KataResult], store: Store, keys: Keys) -> None:
    """Keep the results of the learner's own runs, each under the key of when its run began."""
    with store.editing() as progress:
        for result in results:
            progress.remember(result, keys[result.slug, result.framework])
