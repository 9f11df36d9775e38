"""Measure what checks cost, side by side with the bare import of their framework.

Every command of a comparison runs in turn with the others, and a ratio is the median over the rounds of each round's
own ratio: what else the machine does then weighs on both sides alike.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from dojo.curriculum.frameworks import FRAMEWORKS, is_installed
from dojo.curriculum.katas import Catalog
from dojo.errors import DojoError
from dojo.files import ROOT
from tools.generated import generate
from tools.measuring import Figures, seconds_of, side_by_side
from tools.project_copy import copy_project, solve
from tools.terminal import running

KATA = "softmax"
WATCHED = "attention"
SAVES = 20
MANY = 300  # katas
LIMITS = {"torch": 1.35, "tensorflow": 1.25}  # of a check against the bare import
NUMPY_SECONDS = 0.8
PREPARE_SECONDS = 0.3
GROWTH = 1.05  # with many katas present
SOLUTIONS_SECONDS = 600
UNCHANGED_SECONDS = 2
BOARD_SECONDS = 1  # with many katas
VERDICT_SECONDS = {"numpy": 0.25, "torch": 0.4, "tensorflow": 0.3}  # after a save, under watch
CHECK, NEXT = ["-m", "dojo", "check"], ["-m", "dojo", "next"]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="how often each command runs (default 11)")
    parser.add_argument("--skip-solutions", action="store_true", help="leave out what runs all solutions")
    args = parser.parse_args(arguments)
    if args.rounds < 1:
        raise DojoError(f"--rounds={args.rounds}: give 1 or more.")
    console, figures = Console(highlight=False), Figures()
    with tempfile.TemporaryDirectory(prefix="dojo-bench-") as folder:
        measure(Path(folder), figures, console, args)
    console.print(figures.table)


def measure(folder: Path, figures: Figures, console: Console, args: argparse.Namespace) -> None:
    """Fill the table; `folder` is for copies of the project."""
    many = folder / "many"
    generate(many, MANY)
    for framework in filter(is_installed, FRAMEWORKS):
        console.print(f"measuring {framework} …", style="dim")
        measure_check(figures, folder, many, framework, args.rounds)
        measure_watch(figures, folder, framework)
    console.print(f"measuring {MANY} katas …", style="dim")
    measure_board(figures, folder, args.rounds)
    if not args.skip_solutions:
        console.print("running all solutions, twice …", style="dim")
        measure_unchanged(figures, folder, args.rounds)
        figures.seconds("all solutions", [seconds_of(["-m", "dojo", "solutions"], ROOT)], SOLUTIONS_SECONDS)
    if seconds := os.environ.get("DOJO_PREPARE_SECONDS"):
        figures.seconds("set-up check, nothing changed", [float(seconds)], PREPARE_SECONDS)


def measure_check(figures: Figures, folder: Path, many: Path, framework: str, rounds: int) -> None:
    """`pytest -k` of a kata in one framework, in this repository and among many katas, against the bare import."""
    few = folder / f"{framework}-few"
    copy_project(few, KATA, framework)
    copy = f"kata_{FRAMEWORKS.index(framework):03}"  # of the same kata, solved in this framework only
    solve(many, copy, framework)
    times = side_by_side(
        {
            "import": (["-c", f"import {framework}"], few),
            "check": (["-m", "pytest", "-k", KATA], few),
            "check of many": (["-m", "pytest", "-k", copy], many),
        },
        rounds,
    )
    name = f"pytest -k {KATA}, {framework}"
    if framework in LIMITS:
        figures.ratio(name, times["check"], f"import {framework}", times["import"], LIMITS[framework])
    else:
        figures.seconds(name, times["check"], NUMPY_SECONDS)
    figures.ratio(f"the same among {MANY} katas", times["check of many"], name, times["check"], GROWTH)


def measure_watch(figures: Figures, folder: Path, framework: str) -> None:
    """From a save to its verdict under watch, against a cold `pytest -k` of the same kata, by turns."""
    project = folder / f"{framework}-watched"
    copy_project(project, WATCHED, framework)
    file = Catalog(project / "katas").find(WATCHED).implementation(framework, project / "katas")
    verdicts, cold = [], []
    with running(project, "watch") as terminal:
        terminal.wait_for("q quit")
        for number in range(SAVES + 1):
            before = time.perf_counter()
            file.write_text(f"{file.read_text(encoding='utf-8')}# {number}\n", encoding="utf-8")
            terminal.wait_for("after the save")
            if number:  # the first save also pays for the framework's import
                verdicts.append(time.perf_counter() - before)
            if number % 4 == 1:
                cold.append(seconds_of(["-m", "pytest", "-k", WATCHED], project))
    against = f"cold pytest: {statistics.median(cold):.3f} s"
    figures.seconds(f"{WATCHED}, save to verdict, {framework}", verdicts, VERDICT_SECONDS[framework], against)


def measure_board(figures: Figures, folder: Path, rounds: int) -> None:
    """The board and `next` with many katas, where nothing is started and where all are solved and unchanged."""
    for state in ("nothing started", "solved and unchanged"):
        project = folder / state.replace(" ", "-")
        generate(project, MANY, solved=state != "nothing started")
        times = side_by_side({"board": (CHECK, project), "next": (NEXT, project)}, rounds)
        for name, seconds in times.items():
            figures.seconds(f"{name} of {MANY} katas, {state}", seconds, BOARD_SECONDS)


def measure_unchanged(figures: Figures, folder: Path, rounds: int) -> None:
    """`dojo check` of everything where every kata is solved and nothing has changed since the last check."""
    project = folder / "solved"
    copy_project(project, None, *FRAMEWORKS)
    seconds_of(CHECK, project)
    name = f"check of {len(Catalog().katas)} solved katas, unchanged"
    figures.seconds(name, [seconds_of(CHECK, project) for _ in range(rounds)], UNCHANGED_SECONDS)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DojoError as error:
        sys.exit(f"{error}")
