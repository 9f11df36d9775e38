"""A project of any number of katas, all copies of one: to measure what grows with their number."""

import shutil
from pathlib import Path

from dojo.curriculum.frameworks import FRAMEWORKS, absent
from dojo.curriculum.katas import Catalog, Kata
from dojo.files import ROOT
from dojo.grading import KataResult
from dojo.learner.progress import Store, keys_of, remember
from dojo.running.job import Job
from dojo.running.runner import run_all

KATA = "softmax"


def generate(project: Path, count: int, solved: bool = False) -> None:
    """Make a project of `count` katas in the new folder `project`.

    Args:
        project: the folder to make.
        count: how many katas. They lie in the tracks of this repository in turn, each in every framework that is
            installed.
        solved: every stub is the solution, and the progress file remembers that all of them pass, as after a check.
    """
    shutil.copytree(ROOT / "dojo", project / "dojo", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml", "dojo.toml"):
        shutil.copy(ROOT / name, project / name)
    (project / "katas").mkdir()
    shutil.copy(ROOT / "katas" / "tracks.toml", project / "katas")
    tracks = list(Catalog().tracks)
    copies = [_copy(project, tracks[number % len(tracks)], f"kata_{number:03}") for number in range(count)]
    if solved:
        _solve(project, copies)


def _copy(project: Path, track: str, slug: str) -> Kata:
    """One more kata in the project, with its solution."""
    kata = Catalog().find(KATA)
    for tree in ("katas", "solutions"):
        source, target = ROOT / tree / kata.track / KATA, project / tree / track / slug
        target.mkdir(parents=True)
        for file in source.glob("*.*"):
            shutil.copy(file, target / file.name.replace(KATA, slug))
    return Kata(project / "katas" / track / slug)


def _solve(project: Path, katas: list[Kata]) -> None:
    """Put the solutions in the place of the stubs, and remember the result of one of them for all."""
    jobs = [
        Job(kata, framework, project / "katas")
        for kata in katas
        for framework in kata.frameworks
        if not absent(framework)
    ]
    for job in jobs:
        shutil.copy(job.kata.implementation(job.framework, project / "solutions"), job.implementation)
    original = Catalog().find(KATA)
    passed = {
        result.framework: result for result in run_all([Job(original, name, ROOT / "solutions") for name in FRAMEWORKS])
    }
    results = [KataResult(job.kata.track, job.kata.slug, job.framework, passed[job.framework].levels) for job in jobs]
    remember(results, Store(project / ".dojo" / "progress.json"), keys_of(jobs))
