"""The board: every track with its katas, and one line that says what to do next."""

from typing import IO

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Catalog
from dojo.files import ROOT, shown
from dojo.grading import KataResult, State, in_order, not_started
from dojo.report.terminal import MARKS


def board(results: list[KataResult], catalog: Catalog, given_up: set[str] = frozenset()) -> Group:
    """A table per track: a row per kata, a column per framework; a kata given up says so."""
    shown_frameworks = [name for name in FRAMEWORKS if any(result.framework == name for result in results)]
    parts = []
    for track, title in catalog.tracks.items():
        rows = {result.slug: {} for result in results if result.track == track}
        for result in results:
            if result.track == track:
                rows[result.slug][result.framework] = result
        if rows:
            parts += [_track(title, rows, catalog, shown_frameworks, given_up), Text()]
    return Group(*parts)


def _track(
    title: str,
    rows: dict[str, dict[str, KataResult]],
    catalog: Catalog,
    frameworks: list[str],
    given_up: set[str] | frozenset,
) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left", title_style="bold")
    table.add_column("", min_width=22)
    for name in frameworks:
        table.add_column(name, style="default", header_style="dim", min_width=12)
    table.add_column("minutes", justify="right", header_style="dim", style="dim")
    for slug, by_framework in rows.items():
        cells = [_cell(by_framework.get(name)) for name in frameworks]
        name = f"  {slug} (solution seen)" if slug in given_up else f"  {slug}"
        table.add_row(name, *cells, str(catalog.find(slug).meta.minutes))
    return table


def _cell(result: KataResult | None) -> Text:
    if result is None:
        return Text("")
    mark, style = MARKS[result.state]
    if result.state is State.NOT_STARTED:
        return Text(mark, style=style)
    if result.state in (State.SKIPPED, State.ERROR):
        return Text(f"{mark} {result.state}", style=style)
    return Text(f"{mark} {result.score} of {result.total}", style=style)


def next_step(result: KataResult | None, catalog: Catalog) -> Text:
    """Which kata, which file to open, how long it takes, how to check it."""
    if result is None:
        return Text("Next: nothing is left. Every kata here is solved.", style="bold green")
    kata = catalog.find(result.slug)
    path = shown(kata.implementation(result.framework, ROOT / "katas"))
    verb = "begin" if result.state is State.NOT_STARTED else "go on with"
    text = Text("Next: ", style="bold")
    text.append(f"{verb} {kata.slug} ({kata.title}, about {kata.meta.minutes} minutes): open ")
    text.append(path, style="cyan")
    text.append(f", write it, then run pytest -k {kata.slug}")
    return text


def tally(results: list[KataResult]) -> Text:
    """How many katas are in which state, and the points in all."""
    counts = {state: sum(result.state is state for result in results) for state in State}
    words = [f"{count} {state}" for state, count in counts.items() if count]
    score, total = sum(result.score for result in results), sum(result.total for result in results)
    return Text(f"{', '.join(words)}; {score} of {total} points")


def write_board(
    results: list[KataResult], catalog: Catalog, enabled: tuple[str, ...], file: IO[str], width: int, colours: bool
) -> None:
    """What a bare run of pytest shows: the board, and what to do next."""
    known = {(result.slug, result.framework) for result in results}
    results = results + [
        not_started(kata, framework, catalog.root)
        for kata in catalog.katas.values()
        for framework in kata.frameworks
        if framework in enabled and (kata.slug, framework) not in known
    ]
    console = Console(file=file, force_terminal=colours or None, width=width, highlight=False)
    console.print(board(in_order(results, catalog), catalog), tally(results), sep="\n")
