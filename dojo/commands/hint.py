"""Show the next hint for the level where you stand in a kata: one more each time; what was shown is remembered."""

import argparse

from rich.console import Console
from rich.text import Text

from dojo.curriculum.katas import Catalog
from dojo.errors import DojoError
from dojo.files import shown
from dojo.learner.progress import Store
from dojo.learner.results import level_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kata", metavar="KATA", help="the kata's name")
    parser.add_argument("--level", type=int, metavar="N", help="the level; default: where you stand by your last run")


def run(args: argparse.Namespace) -> int:
    catalog = Catalog()
    kata = catalog.find(args.kata)
    with Store().editing() as progress:
        level = args.level or level_of(kata, catalog.root, progress)
        hints = hints_of(kata, level)
        number = progress.show_hint(kata.slug, level, len(hints))
    console = Console(highlight=False)
    for index, hint in enumerate(hints[:number], 1):
        newest = index == number
        console.print(Text(f"hint {index} of {len(hints)}, level {level}: {hint}", style="bold" if newest else "dim"))
    if number == len(hints):
        console.print(Text("That is every hint for this level.", style="dim"))
    return 0


def hints_of(kata, level: int) -> list[str]:
    hints = kata.meta.hints.get(str(level), [])
    if not hints:
        raise DojoError(f"{shown(kata.folder)}/kata.toml has no hint for level {level}. Choose another with --level.")
    return hints
