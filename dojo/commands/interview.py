"""A mock interview: a kata that you have not solved, a clean stub, a clock, and a scorecard at the end.

Write in the file that it names; each save is a run. It ends when the time is over, when every level passes, or with q.
"""

import argparse
import random
import time
from contextlib import suppress

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dojo.commands.hint import hints_of
from dojo.commands.watch import Watch
from dojo.curriculum.frameworks import absent, parse_frameworks
from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.stubs import original_stub
from dojo.errors import DojoError, did_you_mean
from dojo.files import ROOT, shown
from dojo.grading import KataResult, State
from dojo.learner.progress import Progress, Store
from dojo.learner.results import is_solved, not_started
from dojo.settings import read_settings

FOLDER = ROOT / ".dojo" / "interviews"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=45, metavar="N", help="default: 45")
    parser.add_argument("--track", metavar="TRACK", help="only katas of this track")
    parser.add_argument("--difficulty", type=int, choices=range(1, 6), metavar="1-5", help="only katas as hard as this")
    parser.add_argument("--framework", metavar="NAME", help="numpy, torch or tensorflow; default: any that is enabled")


def run(args: argparse.Namespace) -> int:
    catalog, store, console = Catalog(), Store(), Console(highlight=False)
    if args.minutes <= 0:
        raise DojoError(f"An interview of {args.minutes:g} minutes is too short: give --minutes a positive number.")
    kata, framework = choose(candidates(args, catalog, store.read()))
    interview = Interview(catalog, kata, framework, args.minutes, console)
    interview.run()
    card = interview.scorecard()
    with store.editing() as progress:
        progress.interviews.append(card)
    console.print(card_table(card))
    return 0


def candidates(args: argparse.Namespace, catalog: Catalog, progress: Progress) -> list[tuple[Kata, str]]:
    """The (kata, framework) pairs that fit the wishes and are not solved."""
    if args.track and args.track not in catalog.tracks:
        raise DojoError(f"There is no track {args.track!r}.{did_you_mean(args.track, catalog.tracks)}")
    wanted = parse_frameworks(args.framework) or read_settings().frameworks
    found = [
        (kata, framework)
        for kata in catalog.katas.values()
        if args.track in (None, kata.track) and args.difficulty in (None, kata.meta.difficulty)
        if not is_solved(kata, catalog.root, progress)
        for framework in kata.frameworks
        if framework in wanted and not absent(framework)
    ]
    if not found:
        raise DojoError("No unsolved kata fits. Ask for less: another track, difficulty or framework.")
    return found


def choose(pairs: list[tuple[Kata, str]]) -> tuple[Kata, str]:
    """A kata first, so that more frameworks make none of them likelier; then one of its frameworks."""
    kata = random.choice(list(dict.fromkeys(kata for kata, _ in pairs)))
    return kata, random.choice([framework for other, framework in pairs if other == kata])


class Interview(Watch):
    """Watches one stub in a tree of its own, against the clock."""

    def __init__(self, catalog: Catalog, kata: Kata, framework: str, minutes: float, console: Console):
        self.kata, self.framework, self.minutes = kata, framework, minutes
        tree = FOLDER / time.strftime("%Y%m%d-%H%M%S")
        self.file = kata.implementation(framework, tree)
        self.file.parent.mkdir(parents=True)
        self.file.write_text(original_stub(kata.implementation(framework, catalog.root)), encoding="utf-8")
        super().__init__(catalog, [kata.slug], console, tree=tree)
        self.begun = time.monotonic()
        self.result = not_started(kata, framework, tree)
        self.runs, self.hints, self.times = 0, 0, {}
        self.said_minutes = minutes + 1
        console.print(Text(f"{kata.title}, in {framework}: {minutes:g} minutes from now.", style="bold"))
        console.print(Text(f"Write in {shown(self.file)}", style="cyan"))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def run(self) -> int:
        with suppress(KeyboardInterrupt):  # as with q: the scorecard must not be lost
            return super().run()
        return 0

    def _start(self, kata: Kata, framework: str, at: float) -> None:
        if self.seconds < self.minutes * 60:  # what is saved later does not count
            super()._start(kata, framework, at)

    def is_over(self) -> bool:
        """Also keeps the clock on screen: a line for every five minutes, and for each of the last five."""
        left = self.minutes - self.seconds / 60
        whole = int(left) + 1
        if left > 0 and whole < self.said_minutes and (whole % 5 == 0 or whole < 5):
            self.said_minutes = whole
            self.console.print(Text(f"{whole} minute{'s' * (whole != 1)} left", style="dim"))
        if left > 0:
            return self.result.state is State.PASSED
        if self.running:
            return False  # the last save came in time, and its verdict counts
        self.console.print(Text("The time is over.", style="bold"))
        return True

    def on_result(self, result: KataResult) -> None:
        """Count the run, and note when each level first passed."""
        self.result, self.runs = result, self.runs + 1
        for level in result.levels[: result.prefix]:
            self.times.setdefault(level.number, self.seconds)

    def is_passed(self, job) -> bool:
        return self.result.state is State.PASSED

    def _hint(self) -> None:
        level = self.result.first_open.number if self.result.first_open else 1
        hints = hints_of(self.kata, level)
        self.hints += 1
        self.console.print(Text(f"hint, level {level}: {hints[min(self.hints, len(hints)) - 1]}"))

    def scorecard(self) -> dict:
        """What is kept of the interview, and shown in the report."""
        return {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "kata": self.kata.slug,
            "framework": self.framework,
            "minutes": self.minutes,
            "seconds": round(min(self.seconds, self.minutes * 60), 1),
            "score": self.result.score,
            "total": self.result.total,
            "levels": self.result.prefix,
            "all_levels": len(self.result.levels),
            "seconds_to_level": {str(number): round(seconds, 1) for number, seconds in self.times.items()},
            "runs": self.runs,
            "hints": self.hints,
        }


def card_table(card: dict) -> Table:
    """The scorecard on a terminal."""
    table = Table(title="Scorecard", box=None, show_header=False, title_justify="left", title_style="bold")
    table.add_row("kata", f"{card['kata']} in {card['framework']}")
    table.add_row("points", f"{card['score']} of {card['total']}")
    table.add_row("levels", f"{card['levels']} of {card['all_levels']}")
    table.add_row("time", f"{card['seconds'] / 60:.1f} of {card['minutes']:g} minutes")
    for number, seconds in card["seconds_to_level"].items():
        table.add_row(f"to level {number}", f"{seconds / 60:.1f} minutes")
    table.add_row("runs", str(card["runs"]))
    table.add_row("hints", str(card["hints"]))
    return table
