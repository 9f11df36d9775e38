"""The verdict on a terminal."""

from rich.console import Console, Group
from rich.padding import Padding
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
_DETAILED = 3  # up to so many results are shown level by level even when all is well


def print_verdicts(results: list[KataResult], reporter) -> None:
    """Print the verdict at the end of a run of pytest."""
    width = max(80, reporter._screen_width) if reporter.isatty else 120
    console = Console(file=reporter._tw._file, force_terminal=reporter._tw.hasmarkup or None, width=width, highlight=False)
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
    if result.state not in (State.PASSED, State.FAILED):
        text.append(f"  {result.state}", style=style)
    return text


def verdict(result: KataResult) -> Group:
    """The levels of one kata, and every failure of the level where the learner stands."""
    parts = [headline(result)]
    if result.message:
        parts.append(Padding(Text(result.message, style="red"), (0, 0, 0, 4)))
    for level in result.levels:
        parts.append(_level_line(level))
        parts.extend(_failure(test) for test in _distinct(level))
    return Group(*parts, Text())


def _level_line(level: LevelResult) -> Text:
    mark, style = MARKS[level.state]
    text = Text(f"  {mark} ", style=style)
    text.append(f"level {level.number}  {level.title}", style="default" if level.state is not State.LOCKED else "dim")
    points = f"  {level.points} point{'s' * (level.points != 1)}"
    text.append(points if level.state is State.PASSED else f"{points}, {level.state}", style="dim")
    return text


def _distinct(level: LevelResult) -> list[TestResult]:
    """The tests to tell about: a message that several tests share is told once."""
    told = {}
    for test in level.tests:
        if test.state in (State.FAILED, State.ERROR, State.NOT_STARTED, State.SKIPPED):
            told.setdefault((test.message, test.state), test)
    if level.state in (State.PASSED, State.LOCKED):
        return [test for (_, state), test in told.items() if state is State.ERROR]
    return list(told.values())


def _failure(test: TestResult) -> Padding:
    text = Text()
    if test.state in (State.SKIPPED, State.NOT_STARTED):
        return Padding(Text(test.message, style="dim"), (0, 0, 0, 6))
    text.append(f"demanded  {test.name}\n")
    if test.call:
        text.append(f"called    {test.call}\n", style="dim")
    for name, words in test.inputs.items():
        text.append(f"with      {name} = {words}\n", style="dim")
    text.append(f"found     {test.message}\n", style="bold")
    if test.output:
        text.append(f"printed   {test.output.strip()[:400]}\n", style="dim")
    text.append(f"look at   {test.where}", style="cyan")
    return Padding(text, (0, 0, 0, 6))
