"""The verdict on a terminal."""

from typing import IO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dojo.grading import KataResult, LevelResult, State, TestResult

MARKS = {
    State.PASSED: ("✓", "green"),
    State.FAILED: ("✗", "bold red"),
    State.LOCKED: ("·", "dim"),
    State.NOT_STARTED: ("○", "dim"),
    State.SKIPPED: ("–", "yellow"),
    State.ERROR: ("!", "bold magenta"),
}
MASTERED = ("★", "bold green")
_LISTED = 3  # further failing tests of a level that are named
_PRINTED = 400  # characters of the learner's own output that are shown
_DETAILED = 3  # up to so many results are shown level by level even when all is well


def console_on(file: IO[str], width: int, colours: bool) -> Console:
    """A console that prints where pytest does."""
    return Console(file=file, force_terminal=colours or None, width=width, highlight=False)


def write_verdicts(results: list[KataResult], file: IO[str], width: int, colours: bool) -> None:
    """Print the verdict at the end of a run of pytest."""
    console = console_on(file, width, colours)
    console.print()
    for result in results:
        if len(results) <= _DETAILED or result.state is State.FAILED:
            console.print(verdict(result))
        else:
            console.print(headline(result))


def headline(result: KataResult) -> Text:
    """One line: kata, framework, points, state."""
    mark, style = MARKS[result.state]
    text = Text(f"{mark} ", style=style)
    text.append(result.slug, style="bold")
    text.append(f" in {result.framework}  ", style="default")
    text.append(f"{result.score} of {result.total} points", style="default")
    if result.state is not State.FAILED:
        text.append(f"  {result.standing}", style=MASTERED[1] if result.mastered else style)
    return text


def verdict(result: KataResult) -> Group:
    """The levels of one kata; where the learner stands, the first failure in full and the others by name."""
    parts = [headline(result)]
    if result.message:
        parts.append(_indented(Text(result.message, style="red")))
    for level in result.levels:
        parts.append(_level_line(level))
        parts += map(_indented, _account(level))
    return Group(*parts, Text())


def _indented(part: RenderableType) -> Padding:
    return Padding(part, (0, 0, 0, 6), expand=False)


def _level_line(level: LevelResult) -> Text:
    mark, style = MARKS[level.state]
    text = Text(f"  {mark} ", style=style)
    text.append(f"level {level.number}  {level.title}", style="dim" if level.state is State.LOCKED else "default")
    points = f"  {level.points} point{'s' * (level.points != 1)}{', beyond' * level.beyond}"
    text.append(points if level.state is State.PASSED else f"{points}, {level.state}", style="dim")
    return text


def _account(level: LevelResult) -> list[RenderableType]:
    """What there is to say about a level that is not passed."""
    if level.state in (State.PASSED, State.LOCKED):
        return []
    concerned = [test for test in level.tests if test.state is level.state]
    first, others = concerned[0], concerned[1:]
    if level.state in (State.SKIPPED, State.NOT_STARTED):
        return [Text(first.message, style="dim")]
    more = [Text(f"and also  {_names(others)}", style="dim")] if others else []
    return [_failure(first), *more]


def _names(tests: list[TestResult]) -> str:
    listed = ", ".join(test.name for test in tests[:_LISTED])
    return listed if len(tests) <= _LISTED else f"{listed} and {len(tests) - _LISTED} more"


def _failure(test: TestResult) -> Table:
    """What was demanded, how and with what the code was called, what came, and where to look."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("demanded", test.name)
    if test.call:
        table.add_row("called", Text(test.call))
    for name, words in test.inputs.items():
        table.add_row("with", Text(f"{name} = {words}"))
    table.add_row("found", Text(test.message, style="bold"))
    if test.diagnosis:
        table.add_row("likely", Text(test.diagnosis, style="bold yellow"))
    if test.output:
        table.add_row("printed", Text(test.output.strip()[:_PRINTED]))
    table.add_row("look at", Text(test.where, style="cyan"))
    return table
