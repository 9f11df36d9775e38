"""Hold a mock interview: an unsolved kata, a clean stub, a clock and a scorecard.

Write in the file that it names; each save is a run. It ends when the time is over, when every interview level passes,
or with q.
"""

import argparse
import math
from contextlib import suppress

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dojo.commands.watch import show_verdict
from dojo.curriculum.frameworks import parse_frameworks
from dojo.curriculum.katas import Catalog
from dojo.errors import DojoError
from dojo.files import shown
from dojo.grading import KataResult
from dojo.learner.interview import Interview, candidates, choose
from dojo.learner.progress import Store
from dojo.learner.session import KeyAction, Run, WatchSession


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=45, metavar="N", help="default: 45")
    parser.add_argument("--track", metavar="TRACK", help="only katas of this track")
    parser.add_argument("--difficulty", type=int, choices=range(1, 6), metavar="1-5", help="only katas as hard as this")
    parser.add_argument("--framework", metavar="NAME", help="numpy, torch or tensorflow; default: any that is enabled")


def run(args: argparse.Namespace) -> int:
    catalog, store, console = Catalog(), Store(), Console(highlight=False)
    if not 0 < args.minutes < math.inf:
        wrong = "too short" if args.minutes <= 0 else "not possible"
        raise DojoError(f"An interview of {args.minutes:g} minutes is {wrong}: give --minutes a positive number.")
    wanted = parse_frameworks(args.framework)
    kata, framework = choose(candidates(catalog, store.read(), args.track, args.difficulty, wanted))
    interview = Interview(catalog, kata, framework, args.minutes)
    console.print(Text(f"{kata.title}, in {framework}: {args.minutes:g} minutes from now.", style="bold"))
    console.print(Text(f"Write in {shown(interview.file)}", style="cyan"))
    with suppress(KeyboardInterrupt):  # as with q: the scorecard must not be lost
        hold(interview, console)
    if interview.clock.is_up and not interview.result.solved:
        console.print(Text("The time is over.", style="bold"))
    card = interview.scorecard()
    with store.editing() as progress:
        progress.interviews.append(card)
    console.print(card_table(card))
    return 0


def hold(interview: Interview, console: Console) -> None:
    """Check each save until the kata is solved or the time is over."""

    def on_verdict(run: Run, result: KataResult) -> None:
        show_verdict(console, run, result)
        interview.count(result)
        if result.solved:
            session.stop()

    def on_tick() -> None:
        if minutes := interview.clock.minutes_to_say():
            console.print(Text(f"{minutes} minute{'s' * (minutes != 1)} left", style="dim"))
        if interview.clock.is_up:  # a save that came in time still gets its verdict
            session.close()

    keys = {
        "h": KeyAction("hint", lambda: console.print(Text(interview.hint()))),
        "r": KeyAction("run again", lambda: session.again()),
    }
    session = WatchSession(interview.tree, [interview.kata], console, on_verdict, keys, on_tick)
    session.run(at_once=[(interview.kata, interview.framework)])


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
