"""Where the learner stands: the remembered results, and stubs as they came."""

import subprocess
from pathlib import Path

from dojo.catalog import ROOT, Catalog, Kata, shown
from dojo.checking import not_started
from dojo.errors import DojoError
from dojo.grading import KataResult, State, grade
from dojo.loader import is_started, is_stub_text
from dojo.progress import Progress, fingerprint
from dojo.selection import absent
from dojo.settings import read_settings


def enabled_frameworks(kata: Kata) -> tuple[str, ...]:
    return tuple(name for name in kata.frameworks if name in read_settings().frameworks)


def started_frameworks(kata: Kata, tree: Path) -> tuple[str, ...]:
    """The frameworks that the learner has begun the kata in; where none is begun, the first that is enabled."""
    enabled = enabled_frameworks(kata)
    return tuple(name for name in enabled if is_started(kata.implementation(name, tree))) or enabled[:1]


def remembered(kata: Kata, framework: str, tree: Path, progress: Progress) -> KataResult | None:
    """The result without a run: of a stub that is as it came, of an absent framework, or remembered; else None."""
    reason = absent(framework)
    if reason or not is_started(kata.implementation(framework, tree)):
        return not_started(kata, framework, tree, reason)
    return progress.recall(kata.slug, framework, fingerprint(kata, framework, tree))


def level_of(kata: Kata, tree: Path, progress: Progress) -> int:
    """The level where the learner stands in the framework that has come furthest, by the last run; 1 before any."""
    reached = [
        result.first_open.number if result.first_open else len(result.levels)
        for name in started_frameworks(kata, tree)
        if (result := progress.last_result(kata.slug, name))
    ]
    return max(reached, default=1)


def is_solved(kata: Kata, tree: Path, progress: Progress) -> bool:
    """Whether all levels pass in some framework, as the file is now."""
    results = (remembered(kata, name, tree, progress) for name in started_frameworks(kata, tree))
    return any(result is not None and result.state is State.PASSED for result in results)


def original_stub(path: Path) -> str:
    """The stub as it came: the newest version in git's history in which nothing is written yet."""
    for commit in _git("log", "--format=%H", "--", shown(path)).split():
        text = _git("show", f"{commit}:{shown(path)}")
        if is_stub_text(text):
            return text
    raise DojoError(
        f"git knows no version of {shown(path)} in which nothing is written. Get the file from a fresh clone."
    )


def _git(*args: str) -> str:
    try:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        raise DojoError("git is not installed, and the stubs come from its history. Install git.") from None
    if done.returncode:
        raise DojoError(f"git {args[0]} failed: {done.stderr.strip() or 'no reason given'}")
    return done.stdout


def results_without_running(catalog: Catalog, progress: Progress) -> list[KataResult]:
    """What is known at once: a kata that changed since its last run stands as begun."""
    return [
        remembered(kata, framework, catalog.root, progress)
        or progress.last_result(kata.slug, framework)
        or grade(kata.track, kata.slug, framework, [], "It has not been run yet.")
        for kata in catalog.katas.values()
        for framework in enabled_frameworks(kata)
    ]
