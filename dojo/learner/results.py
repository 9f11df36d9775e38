"""What is known of a learner's katas without a run, and what must run."""

from pathlib import Path

from dojo.curriculum.frameworks import absent, frameworks_of
from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.stubs import is_started
from dojo.grading import KataResult, State, grade, not_started
from dojo.keys import Files, key_of
from dojo.learner.progress import Progress
from dojo.running.job import Job
from dojo.settings import read_settings


def plan(wanted: list[tuple[Kata, str]], tree: Path, options: tuple[str, ...]) -> tuple[list[Job], list[KataResult]]:
    """What must run, and the results that need no run."""
    jobs, known = [], []
    for kata, framework in wanted:
        reason = absent(framework)
        if reason or not is_started(kata.implementation(framework, tree)):
            known.append(not_started(kata, framework, tree, reason))
        else:
            jobs.append(Job(kata, framework, tree, options))
    return jobs, known


def remembered(
    kata: Kata, framework: str, tree: Path, progress: Progress, files: Files | None = None
) -> KataResult | None:
    """The result without a run: of a stub that is as it came, of an absent framework, or remembered; else None."""
    reason, file = absent(framework), kata.implementation(framework, tree)
    if reason or not is_started(file):
        return not_started(kata, framework, tree, reason)
    return progress.recall(kata.slug, framework, str(key_of(kata, framework, file, files)))


def mine(kata: Kata, tree: Path) -> tuple[str, ...]:
    """The frameworks that the learner has started the kata in, or could."""
    return frameworks_of(kata, tree, read_settings().frameworks)


def level_of(kata: Kata, tree: Path, progress: Progress) -> int:
    """The level where the learner stands in the framework that has come furthest, by the last run; 1 before any."""
    reached = [
        result.first_open.number if result.first_open else len(result.levels)
        for name in mine(kata, tree)
        if (result := progress.last_result(kata.slug, name))
    ]
    return max(reached, default=1)


def is_solved(kata: Kata, tree: Path, progress: Progress) -> bool:
    """Whether all levels pass in some framework, as the file is now."""
    results = (remembered(kata, name, tree, progress) for name in mine(kata, tree))
    return any(result is not None and result.state is State.PASSED for result in results)


def results_without_running(catalog: Catalog, progress: Progress) -> list[KataResult]:
    """What is known at once: a kata that changed since its last run stands as started."""
    enabled, files = read_settings().frameworks, Files()
    return [
        remembered(kata, framework, catalog.root, progress, files)
        or progress.last_result(kata.slug, framework)
        or grade(kata.track, kata.slug, framework, [], "It has not been run yet.")
        for kata in catalog.katas.values()
        for framework in kata.frameworks
        if framework in enabled
    ]
