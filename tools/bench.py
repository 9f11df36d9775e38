"""Measure what a check costs, side by side with the bare import of its framework, in one run.

Every command of a comparison runs in turn with the others, and a ratio is the median over the rounds of each round's
own ratio: what else the machine does then weighs on both sides alike.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import truediv
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dojo.curriculum.frameworks import FRAMEWORKS, is_installed
from dojo.curriculum.katas import Catalog
from dojo.files import ROOT
from tools.project_copy import clone

KATA = "softmax"
WATCHED = "attention"
SAVES = 20
ALL_KATAS = 177  # the whole curriculum
LIMITS = {"torch": 1.35, "tensorflow": 1.25}  # of a check against the bare import
NUMPY_SECONDS = 0.8
PREPARE_SECONDS = 0.3
GROWTH = 1.05  # with the whole curriculum present
SOLUTIONS_SECONDS = 600
UNCHANGED_SECONDS = 2
VERDICT_SECONDS = {"numpy": 0.25, "torch": 0.4, "tensorflow": 0.4}  # after a save, under watch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=11, help="how often each command runs (default 11)")
    parser.add_argument("--skip-solutions", action="store_true", help="leave out what runs all solutions")


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False)
    table = Table("measured", "median", "against", "ratio", "at most", "", box=None)
    with tempfile.TemporaryDirectory(prefix="dojo-bench-") as folder:
        for framework in FRAMEWORKS:
            if is_installed(framework):
                console.print(f"measuring {framework} …", style="dim")
                measure_check(table, Path(folder), framework, args.rounds)
                measure_watch(table, Path(folder), framework)
        if not args.skip_solutions:
            console.print("running all solutions, twice …", style="dim")
            measure_unchanged(table, Path(folder), args.rounds)
            _row(
                table,
                "all solutions",
                _seconds([sys.executable, "-m", "dojo", "solutions"], ROOT),
                "",
                SOLUTIONS_SECONDS,
            )
    if seconds := os.environ.get("DOJO_PREPARE_SECONDS"):
        _row(table, "set-up check, nothing changed", float(seconds), "", PREPARE_SECONDS)
    console.print(table)
    return 0


def measure_check(table: Table, folder: Path, framework: str, rounds: int) -> None:
    """`pytest -k softmax` in one framework, in this repository and in one of 177 katas, against the bare import."""
    few, many = folder / f"{framework}-few", folder / f"{framework}-many"
    clone(few, KATA, framework)
    clone(many, KATA, framework)
    add_dummies(many)
    check = [sys.executable, "-m", "pytest", "-k", KATA]
    times = side_by_side(
        {
            "import": ([sys.executable, "-c", f"import {framework}"], few),
            "check": (check, few),
            "check of many": (check, many),
        },
        rounds,
    )
    name = f"pytest -k {KATA}, {framework}"
    if framework == "numpy":
        _row(table, name, statistics.median(times["check"]), "", NUMPY_SECONDS)
    else:
        _ratio(table, name, times["check"], f"import {framework}", times["import"], LIMITS[framework])
    _ratio(table, f"the same among {ALL_KATAS} katas", times["check of many"], name, times["check"], GROWTH)


def measure_watch(table: Table, folder: Path, framework: str) -> None:
    """From a save to its verdict under watch, against a cold `pytest -k` of the same kata, by turns."""
    project = folder / f"{framework}-watched"
    clone(project, WATCHED, framework)
    file = Catalog(project / "katas").find(WATCHED).implementation(framework, project / "katas")
    verdicts, cold = [], []
    with watching(project) as verdict:
        for number in range(SAVES + 1):
            begun = time.perf_counter()
            file.write_text(f"{file.read_text(encoding='utf-8')}# {number}\n", encoding="utf-8")
            verdict()
            if number:  # the first save also pays for the framework's import
                verdicts.append(time.perf_counter() - begun)
            if number % 4 == 1:
                cold.append(_seconds([sys.executable, "-m", "pytest", "-k", WATCHED], project))
    name, against = f"{WATCHED}, save to verdict, {framework}", f"cold pytest: {statistics.median(cold):.3f} s"
    _row(table, name, statistics.median(verdicts), against, VERDICT_SECONDS[framework])


@contextmanager
def watching(project: Path) -> Iterator[Callable[[], None]]:
    """A running `dojo watch`; what is yielded waits for its next verdict."""
    command = [sys.executable, "-m", "dojo", "watch"]
    with subprocess.Popen(
        command, cwd=project, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:

        def wait_for(text: str) -> None:
            for line in process.stdout:
                if text in line:
                    return
            sys.exit(f"dojo watch ended before it said {text!r}")

        wait_for("watching")
        time.sleep(2)  # the watcher needs a moment to begin
        try:
            yield lambda: wait_for("after the save")
        finally:
            process.terminate()


def measure_unchanged(table: Table, folder: Path, rounds: int) -> None:
    """`dojo check` of everything where every kata is solved and nothing has changed since the last check."""
    project = folder / "solved"
    clone(project, None, *FRAMEWORKS)
    check = [sys.executable, "-m", "dojo", "check"]
    _seconds(check, project)
    seconds = statistics.median(_seconds(check, project) for _ in range(rounds))
    _row(table, f"check of {len(Catalog().katas)} solved katas, unchanged", seconds, "", UNCHANGED_SECONDS)


def add_dummies(project: Path) -> None:
    """Fill the project up to the size of the whole curriculum with copies of the kata under other names."""
    source = Catalog(project / "katas").find(KATA).folder
    for number in range(ALL_KATAS - len(Catalog(project / "katas").katas)):
        slug = f"dummy_{number:03}"
        folder = source.parent / slug
        folder.mkdir()
        for file in source.glob("*.*"):
            shutil.copy(file, folder / file.name.replace(KATA, slug))


def side_by_side(commands: dict[str, tuple[list[str], Path]], rounds: int) -> dict[str, list[float]]:
    """Name to seconds per round; the commands run in turn, after one round that only warms caches.

    Every other round runs them backwards, so that none always comes after the same one.
    """
    times = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name in list(commands)[:: -1 if number % 2 else 1]:
            seconds = _seconds(*commands[name])
            if number:
                times[name].append(seconds)
    return times


def _environment() -> dict[str, str]:
    """As most people have it."""
    unusual = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    return {name: value for name, value in os.environ.items() if name not in unusual}


def _seconds(command: list[str], folder: Path) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def _row(table: Table, name: str, seconds: float, against: str, limit: float) -> None:
    table.add_row(name, f"{seconds:.3f} s", against, "", f"{limit:g} s", _mark(seconds <= limit))


def _ratio(table: Table, name: str, seconds: list[float], against: str, base: list[float], limit: float) -> None:
    ratio = statistics.median(map(truediv, seconds, base))
    median, compared = f"{statistics.median(seconds):.3f} s", f"{against}: {statistics.median(base):.3f} s"
    table.add_row(name, median, compared, f"{ratio:.2f}", f"{limit:g}", _mark(ratio <= limit))


def _mark(met: bool) -> str:
    return "[green]met[/]" if met else "[red]missed[/]"
