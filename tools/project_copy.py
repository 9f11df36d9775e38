"""A copy of the project in which something is solved: to measure on, and to draw pictures of."""

import shutil
from pathlib import Path

from dojo.curriculum.katas import Catalog
from dojo.files import ROOT


def copy_project(target: Path, kata: str | None, *frameworks: str) -> None:
    """Copy what a check needs to `target`, with one kata solved in these frameworks, or every kata for None."""
    target.mkdir()
    for name in ("dojo", "katas", "solutions"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml", "dojo.toml"):
        shutil.copy(ROOT / name, target / name)
    for solved in Catalog().select([kata] if kata else []):
        for framework in set(frameworks) & set(solved.frameworks):
            solve(target, solved.slug, framework)


def solve(project: Path, slug: str, framework: str) -> Path:
    """Put the solution in the place of the stub; returns where."""
    kata = Catalog(project / "katas").find(slug)
    solution, stub = (kata.implementation(framework, project / tree) for tree in ("solutions", "katas"))
    shutil.copy(solution, stub)
    return stub
