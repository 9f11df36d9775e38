"""Show a kata, and its solution and answer once you have solved it.

Its specification, levels, points and state; with --give-up the solution before that, too.
"""

import argparse
import ast
from contextlib import suppress
from pathlib import Path

from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.syntax import Syntax
from rich.text import Text

from dojo.curriculum.frameworks import frameworks_of, parse_frameworks
from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.stubs import original_stub
from dojo.errors import DojoError
from dojo.files import SOLUTIONS, shown
from dojo.grading import not_started
from dojo.learner.progress import Progress, Store
from dojo.learner.results import is_solved, mine
from dojo.report.terminal import verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kata", metavar="KATA", help="the kata's name")
    parser.add_argument("--framework", metavar="NAME", help="default: those that you have started")
    parser.add_argument("--give-up", action="store_true", help="show the solution unsolved; the board remembers it")


def run(args: argparse.Namespace) -> int:
    catalog, console, store = Catalog(), Console(highlight=False), Store()
    kata = catalog.find(args.kata)
    frameworks = _frameworks(kata, args.framework, catalog)
    progress = store.read()
    solved = is_solved(kata, catalog.root, progress)
    if args.give_up and not solved:
        with store.editing() as progress:
            progress.give_up(kata.slug)
    console.print(*specification(kata, frameworks, catalog, progress), sep="\n")
    if solved or kata.slug in progress.given_up:
        console.print(*solution(kata, frameworks), sep="\n")
    else:
        console.print(
            Text("The solution and what to say are shown once the kata is solved, or with --give-up.", style="dim")
        )
    return 0


def _frameworks(kata: Kata, text: str | None, catalog: Catalog) -> tuple[str, ...]:
    wanted = parse_frameworks(text)
    if wanted is None:
        return mine(kata, catalog.root)
    found = frameworks_of(kata, catalog.root, kata.frameworks, wanted)
    if not found:
        raise DojoError(f"{kata.slug} is a kata in {', '.join(kata.frameworks)}, not in {text}.")
    return found


def specification(
    kata: Kata, frameworks: tuple[str, ...], catalog: Catalog, progress: Progress
) -> list[RenderableType]:
    """The title, the stub's own header, and the levels with their states."""
    parts = [
        Text(
            f"{kata.title}: difficulty {kata.meta.difficulty} of 5, about {kata.meta.minutes} minutes",
            style="bold",
        )
    ]
    for framework in frameworks:
        path = kata.implementation(framework, catalog.root)
        result = progress.last_result(kata.slug, framework) or not_started(kata, framework, catalog.root)
        parts += [Text(f"\n{shown(path)}", style="cyan"), Text(header(path)), verdict(result)]
    return parts


def header(path: Path) -> str:
    """The stub's own docstring, also where the learner's file has lost it or does not parse."""
    for source in (lambda: path.read_text(encoding="utf-8"), lambda: original_stub(path)):
        with suppress(SyntaxError, ValueError, OSError):
            if text := ast.get_docstring(ast.parse(source())):
                return text
    return ""


def solution(kata: Kata, frameworks: tuple[str, ...]) -> list[RenderableType]:
    """The reference solution in each framework, and what to say in an interview, as far as they are there."""
    answer = SOLUTIONS / kata.track / kata.slug / "answer.md"
    parts = []
    for path in [*(kata.implementation(framework, SOLUTIONS) for framework in frameworks), answer]:
        if path.exists():
            text = path.read_text(encoding="utf-8")
            content = Markdown(text) if path == answer else Syntax(text, "python")
            parts += [Text(f"\n{shown(path)}", style="cyan"), content]
    return parts
