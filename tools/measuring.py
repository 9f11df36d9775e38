"""Seconds of commands, and a table of them against their limits."""

import statistics
import subprocess
import sys
import time
from operator import truediv
from pathlib import Path

from rich.table import Table

from dojo.errors import DojoError
from tools.terminal import usual_environment


def seconds_of(command: list[str], folder: Path) -> float:
    """How long Python with these arguments takes; a DojoError where it fails."""
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=usual_environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - before
    if done.returncode:
        raise DojoError(f"python {' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def side_by_side(commands: dict[str, tuple[list[str], Path]], rounds: int) -> dict[str, list[float]]:
    """Name to seconds per round; the commands run in turn, after one round that only warms caches.

    Every other round runs them backwards, so that none always comes after the same one.
    """
    times = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name in list(commands)[:: -1 if number % 2 else 1]:
            seconds = seconds_of(*commands[name])
            if number:
                times[name].append(seconds)
    return times


class Figures:
    """A table of what was measured, each row against its limit."""

    def __init__(self) -> None:
        self.table = Table("measured", "median", "against", "ratio", "at most", "", box=None)

    def seconds(self, name: str, seconds: list[float], limit: float, against: str = "") -> None:
        """The median against a limit in seconds."""
        median = statistics.median(seconds)
        self.table.add_row(name, f"{median:.3f} s", against, "", f"{limit:g} s", _mark(median <= limit))

    def ratio(self, name: str, seconds: list[float], against: str, base: list[float], limit: float) -> None:
        """The median over the rounds of each round's own ratio: what else the machine does weighs on both sides."""
        ratio = statistics.median(map(truediv, seconds, base))
        median, compared = f"{statistics.median(seconds):.3f} s", f"{against}: {statistics.median(base):.3f} s"
        self.table.add_row(name, median, compared, f"{ratio:.2f}", f"{limit:g}", _mark(ratio <= limit))


def _mark(met: bool) -> str:
    return "[green]met[/]" if met else "[red]missed[/]"
