"""Make automatic mutants of the solutions, run the tests on each, and list those that no test refuses.

A survivor is either a gap in the tests or equivalent to the solution: read it and decide.
"""

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from dojo.catalog import FRAMEWORKS, Kata
from dojo.commands import add_selection, selected
from dojo.grading import State
from dojo.mutants import Mutant, mutants_of
from dojo.runner import Job, Runner
from dojo.variants import job_for, solution_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--json", metavar="FILE", help="write the figures and the survivors there too")


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="dojo-mutants-") as folder, Runner() as runner:
        jobs = make_jobs(selected(args), Path(folder))
        survivors: list[tuple[Job, Mutant]] = []
        for job, result in track(runner.run(jobs), "mutants", len(jobs), console=console, transient=True):
            if result.state is State.PASSED:
                survivors.append((job, jobs[job]))
                console.print(f"{_name(job)} line {jobs[job].line}: {jobs[job].change}", markup=False, soft_wrap=True)
    rows = _figures(jobs, survivors)
    console.print(_table(rows))
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def make_jobs(wanted: list[tuple[Kata, str]], folder: Path) -> dict[Job, Mutant]:
    """A job per mutant that stops at the first test that refuses it."""
    jobs = {}
    for kata, framework in sorted(wanted, key=lambda pair: FRAMEWORKS.index(pair[1])):
        for mutant in mutants_of(solution_source(kata, framework)):
            tree = folder / str(len(jobs))
            jobs[job_for(kata, framework, mutant.source, tree, mutant.change, "--exitfirst", "--no-diagnosis")] = mutant
    return jobs


def _name(job: Job) -> str:
    return f"{job.kata.slug} in {job.framework}"


def _figures(jobs: dict[Job, Mutant], survivors: list[tuple[Job, Mutant]]) -> list[dict]:
    """Per kata and framework: how many mutants were made and killed, and which survived."""
    rows = {}
    for job in jobs:
        key = job.kata.slug, job.framework
        row = rows.setdefault(key, {"kata": key[0], "framework": key[1], "made": 0, "killed": 0, "survivors": []})
        row["made"] += 1
        row["killed"] += 1
    for job, mutant in survivors:
        row = rows[job.kata.slug, job.framework]
        row["killed"] -= 1
        row["survivors"].append({"line": mutant.line, "change": mutant.change})
    return list(rows.values())


def _table(rows: list[dict]) -> Table:
    table = Table("kata", "framework", "killed", "made", "rate", box=None)
    for row in rows:
        rate = f"{row['killed'] / row['made']:.0%}"
        table.add_row(row["kata"], row["framework"], str(row["killed"]), str(row["made"]), rate)
    return table
