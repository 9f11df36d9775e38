"""Prove that the tests refuse every mistake of mistakes.toml, and first at the level that it names.

Also hands in each mistake as if a learner had written it, and says how many of them the diagnosis names as themselves:
over all katas, 95 in 100 at least, and none as another alone.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import track

from dojo.commands import add_selection, selected
from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.mistakes import Mistake, apply, read_mistakes
from dojo.files import shown
from dojo.grading import KataResult
from dojo.proof.variants import PATIENT, PATIENT_DIAGNOSIS, SOLUTIONS, job_for, solution_source
from dojo.pytest_plugin.diagnosis import as_sentence
from dojo.running.job import Job
from dojo.running.runner import Runner

NAMED = 0.95  # the share of all mistakes that the diagnosis must name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)


def run(args: argparse.Namespace) -> int:
    console = Console(highlight=False)
    wanted = selected(args)
    with tempfile.TemporaryDirectory(prefix="dojo-mistakes-") as folder, Runner() as runner:
        jobs = make_jobs(wanted, Path(folder))
        wrong, named = [], 0
        ended = track(runner.run(jobs), "mistakes", len(jobs), console=console, transient=True)
        for job, result in ended:
            told = diagnosis_of(result)
            named += is_named(jobs[job], told)
            if complaint := judge(jobs[job], result) or judge_diagnosis(jobs[job], result, told):
                wrong.append(complaint)
                console.print(f"[red]✗[/] {complaint}", soft_wrap=True)
    console.print(f"{len(jobs) - len(wrong)} passed, {len(wrong)} failed; the diagnosis named {named} of {len(jobs)}")
    if few := not args.katas and named < NAMED * len(jobs):
        console.print(f"[red]✗[/] Of all mistakes the diagnosis should name {NAMED:.0%} at least.")
    return 1 if wrong or few or not jobs else 0


def make_jobs(wanted: list[tuple], folder: Path) -> dict[Job, Mistake]:
    """A job per mistake, numpy's first: while they run, the other frameworks are imported."""
    jobs = {}
    for kata, framework in sorted(wanted, key=lambda pair: FRAMEWORKS.index(pair[1])):
        source, file = solution_source(kata, framework), shown(kata.implementation(framework, SOLUTIONS))
        for mistake in read_mistakes(kata):
            if mistake.framework == framework:
                tree = folder / str(len(jobs))
                wrong = apply(mistake, source, file)
                jobs[job_for(kata, framework, wrong, tree, mistake.name, PATIENT, PATIENT_DIAGNOSIS)] = mistake
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


def diagnosis_of(result: KataResult) -> str:
    return "".join(test.diagnosis for level in result.levels for test in level.tests)


def is_named(mistake: Mistake, told: str) -> bool:
    return as_sentence(mistake.says) in told


def judge_diagnosis(mistake: Mistake, result: KataResult, told: str) -> str:
    """What is wrong with the diagnosis of a mistake; '' where it names it, perhaps among others, or names nothing."""
    if not told or is_named(mistake, told):
        return ""
    return f"{result.slug} in {mistake.framework}: {mistake.name!r} is diagnosed as another mistake: {told}"
