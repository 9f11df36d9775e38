"""Show the next hint for the level where you stand in a kata: one more each time.

What was shown is remembered.
"""

import argparse

from rich.console import Console
from rich.text import Text

from dojo.curriculum.katas import Catalog, Kata
from dojo.learner.hints import hints_of
from dojo.learner.progress import Store
from dojo.learner.results import level_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kata", metavar="KATA", help="the kata's name")
    parser.add_argument("--level", type=int, metavar="N", help="the level; default: where you stand by your last run")


def run(args: argparse.Namespace) -> int:
    catalog = Catalog()
    show_hint(catalog.find(args.kata), catalog, Store(), Console(highlight=False), args.level)
    return 0


def show_hint(kata: Kata, catalog: Catalog, store: Store, console: Console, level: int | None = None) -> None:
    """Show the hints of a level up to the next one; by default of the level where the last run stands."""
    with store.editing() as progress:
        level = level or level_of(kata, catalog.root, progress)
        hints = hints_of(kata, level)
        number = progress.show_hint(kata.slug, level, len(hints))
    for index, hint in enumerate(hints[:number], 1):
        newest = index == number
        console.print(Text(f"hint {index} of {len(hints)}, level {level}: {hint}", style="bold" if newest else "dim"))
    if number == len(hints):
        console.print(Text("That is every hint for this level.", style="dim"))
