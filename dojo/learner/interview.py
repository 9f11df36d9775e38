"""A mock interview: which kata it is about, its clock, what its runs gave, and its scorecard.

It is about the interview levels of one kata: what lies beyond them neither prolongs it nor counts.
"""

import random
import time
from pathlib import Path
from typing import Any

from dojo.curriculum.frameworks import absent, frameworks_of
from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.stubs import original_stub
from dojo.errors import DojoError, did_you_mean
from dojo.files import ROOT
from dojo.grading import KataResult, State, not_started
from dojo.learner.hints import hints_of
from dojo.learner.progress import Progress
from dojo.learner.results import is_solved
from dojo.settings import read_settings

FOLDER = ROOT / ".dojo" / "interviews"


def candidates(
    catalog: Catalog, progress: Progress, track: str | None, difficulty: int | None, wanted: tuple[str, ...] | None
) -> list[tuple[Kata, str]]:
    """The (kata, framework) pairs that fit the wishes and are not solved; a DojoError where there is none."""
    if track and track not in catalog.tracks:
        raise DojoError(f"There is no track {track!r}.{did_you_mean(track, catalog.tracks)}")
    enabled = read_settings().frameworks
    found = [
        (kata, framework)
        for kata in catalog.katas.values()
        if track in (None, kata.track) and difficulty in (None, kata.meta.difficulty)
        if not is_solved(kata, catalog.root, progress)
        for framework in frameworks_of(kata, catalog.root, enabled, wanted or enabled)
        if not absent(framework)
    ]
    if not found:
        raise DojoError("No unsolved kata fits. Ask for less: another track, difficulty or framework.")
    return found


def choose(pairs: list[tuple[Kata, str]]) -> tuple[Kata, str]:
    """A kata first, so that more frameworks make none of them likelier; then one of its frameworks."""
    kata = random.choice(list(dict.fromkeys(kata for kata, _ in pairs)))
    return kata, random.choice([framework for other, framework in pairs if other == kata])


class Clock:
    """Runs from when it is made."""

    def __init__(self, minutes: float):
        self.minutes = minutes
        self._start = time.monotonic()
        self._said = minutes

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    @property
    def is_up(self) -> bool:
        return self.seconds >= self.minutes * 60

    def minutes_to_say(self) -> int | None:
        """The minutes left when it is time to say so, once: every five, and each of the last five; else None."""
        whole = int(self.minutes - self.seconds / 60) + 1
        if self.is_up or whole >= self._said or (whole % 5 and whole > 5):
            return None
        self._said = whole
        return whole


class Interview:
    """One kata in one framework against the clock: its stub in a tree of its own, and what came of it."""

    def __init__(self, catalog: Catalog, kata: Kata, framework: str, minutes: float):
        self.kata, self.framework = kata, framework
        stub = original_stub(kata.implementation(framework, catalog.root))
        self.tree = FOLDER / time.strftime("%Y%m%d-%H%M%S")
        self.file.parent.mkdir(parents=True)
        self.file.write_text(stub, encoding="utf-8")
        self.result = not_started(kata, framework, self.tree)
        self.runs = self.hints = 0
        self.times: dict[int, float] = {}  # interview level to the seconds after which it first passed
        self.clock = Clock(minutes)

    @property
    def file(self) -> Path:
        """The stub to write in."""
        return self.kata.implementation(self.framework, self.tree)

    def count(self, result: KataResult) -> None:
        """Take a run into account, and note when each level first passed."""
        self.result, self.runs = result, self.runs + 1
        for level in result.interview[: result.prefix]:
            self.times.setdefault(level.number, self.clock.seconds)

    def hint(self) -> str:
        """The next hint for the level where the result stands; the last one again after all were given."""
        level = self.result.first_open.number if self.result.first_open else 1
        hints = hints_of(self.kata, level)
        self.hints += 1
        return f"hint, level {level}: {hints[min(self.hints, len(hints)) - 1]}"

    def scorecard(self) -> dict[str, Any]:
        """What is kept of the interview, and shown in the report."""
        levels = self.result.interview
        return {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "kata": self.kata.slug,
            "framework": self.framework,
            "minutes": self.clock.minutes,
            "seconds": round(min(self.clock.seconds, self.clock.minutes * 60), 1),
            "score": sum(level.points for level in levels[: self.result.prefix] if level.state is State.PASSED),
            "total": sum(level.points for level in levels if level.state is not State.SKIPPED),
            "levels": self.result.prefix,
            "all_levels": len(levels),
            "seconds_to_level": {str(number): round(seconds, 1) for number, seconds in self.times.items()},
            "runs": self.runs,
            "hints": self.hints,
        }
