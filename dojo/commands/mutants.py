"""Make automatic mutants of the solutions, run the tests on each, and list those that no test refuses.

A survivor is either a gap in the tests or equivalent to the solution: read it and decide. Ctrl-C ends it early, and
counts what has run.
"""

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from dojo.commands import add_selection, selected
from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Kata
from dojo.grading import State
from dojo.proof.mutants import Mutant, mutants_of
from dojo.proof.variants import job_for, solution_source
from dojo.running.job import Job
from dojo.running.runner import Runner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--json", metavar="FILE", help="write the figures and the survivors there too")


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="dojo-mutants-") as folder, Runner() as runner:
        jobs = make_jobs(selected(args), Path(folder))
        passed: dict[Job, bool] = {}
        try:
            for job, result in track(runner.run(jobs), "mutants", len(jobs), console=console, transient=True):
                passed[job] = result.state is State.PASSED
                if passed[job]:
                    where = f"{job.kata.slug} in {job.framework} line {jobs[job].line}"
                    console.print(f"{where}: {jobs[job].change}", markup=False, soft_wrap=True)
        except KeyboardInterrupt:
            console.print(f"Ended early, after {len(passed)} of {len(jobs)} mutants.")
    rows = _figures(jobs, passed)
    console.print(_table(rows))
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if len(passed) == len(jobs) else 130


def make_jobs(wanted: list[tuple[Kata, str]], folder: Path) -> dict[Job, Mutant]:
    """A job per mutant that stops at the first test that refuses it."""
    jobs = {}
    for kata, framework in sorted(wanted, key=lambda pair: FRAMEWORKS.index(pair[1])):
        for mutant in mutants_of(solution_source(kata, framework)):
            tree = folder / str(len(jobs))
            jobs[job_for(kata, framework, mutant.source, tree, mutant.change, "--exitfirst", "--no-diagnosis")] = mutant
    return jobs


def _figures(jobs: dict[Job, Mutant], passed: dict[Job, bool]) -> list[dict]:
    """Per kata and framework: how many mutants were made, how many ran and were killed, and which survived."""
    rows = {}
    for job, mutant in jobs.items():
        key = job.kata.slug, job.framework
        empty = {"kata": key[0], "framework": key[1], "made": 0, "ran": 0, "killed": 0, "survivors": []}
        row = rows.setdefault(key, empty)
        row["made"] += 1
        row["ran"] += job in passed
        row["killed"] += passed.get(job) is False
        if passed.get(job):
            row["survivors"].append({"line": mutant.line, "change": mutant.change})
    return list(rows.values())


def _table(rows: list[dict]) -> Table:
    table = Table("kata", "framework", "killed", "ran", "made", "rate", box=None)
    for row in rows:
        rate = f"{row['killed'] / row['ran']:.0%}" if row["ran"] else "–"
        table.add_row(row["kata"], row["framework"], *(str(row[key]) for key in ("killed", "ran", "made")), rate)
    return table
