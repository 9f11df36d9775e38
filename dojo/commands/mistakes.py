"""Prove that the tests refuse every mistake of mistakes.toml, and first at the level that it names."""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track

from dojo.catalog import FRAMEWORKS, shown
from dojo.commands import add_selection, selected
from dojo.grading import KataResult
from dojo.mistakes import Mistake, apply, read_mistakes
from dojo.runner import Job, Runner
from dojo.variants import PATIENT, SOLUTIONS, job_for, solution_source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False)
    wanted = selected(args)
    with tempfile.TemporaryDirectory(prefix="dojo-mistakes-") as folder, Runner() as runner:
        jobs = make_jobs(wanted, Path(folder), "--no-diagnosis")
        wrong = []
        ended = track(runner.run(jobs), "mistakes", len(jobs), console=console, transient=True)
        for job, result in ended:
            if complaint := judge(jobs[job], result):
                wrong.append(complaint)
                console.print(f"[red]✗[/] {complaint}", soft_wrap=True)
    console.print(f"{len(jobs) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong or not jobs else 0


def make_jobs(wanted: list[tuple], folder: Path, *options: str) -> dict[Job, Mistake]:
    """A job per mistake, numpy's first: while they run, the other frameworks are imported."""
    jobs = {}
    for kata, framework in sorted(wanted, key=lambda pair: FRAMEWORKS.index(pair[1])):
        source, file = solution_source(kata, framework), shown(kata.implementation(framework, SOLUTIONS))
        for mistake in read_mistakes(kata):
            if mistake.framework == framework:
                tree = folder / str(len(jobs))
                edited = apply(mistake, source, file)
                jobs[job_for(kata, framework, edited, tree, mistake.name, PATIENT, *options)] = mistake
    return jobs


def judge(mistake: Mistake, result: KataResult) -> str:
    """What is wrong with the tests' answer to a mistake; '' when it is refused at its level."""
    name = f"{result.slug} in {mistake.framework}: {mistake.name!r}"
    first = result.first_open
    if first is None:
        return f"{name} is not refused at all; it should be at level {mistake.level}."
    if first.number != mistake.level:
        reason = next((test.message for test in first.tests if test.message), result.message)
        return f"{name} is refused at level {first.number}, not at level {mistake.level}: {reason}"
    return ""
