"""Grading a tree: which katas are started, what came of them, and what to do next."""

from collections.abc import Iterator
from pathlib import Path

from dojo.catalog import Catalog, Kata, shown
from dojo.grading import KataResult, State, TestResult, grade
from dojo.levels import read_levels
from dojo.loader import is_started
from dojo.runner import Job
from dojo.selection import absent


def not_started(kata: Kata, framework: str, tree: Path, reason: str = "") -> KataResult:
    """The result of a stub that is as it came, or (with a reason) of a framework that is absent; runs nothing."""
    path = kata.implementation(framework, tree)
    tests = []
    for level in read_levels(kata.test_file):
        if level.autograd and framework == "numpy":
            continue
        state = State.SKIPPED if reason else State.LOCKED if tests else State.NOT_STARTED
        message = reason or ("" if tests else f"{shown(path)} is as it came: open it and begin.")
        name = f"level {level.number}"
        tests.append(TestResult(name, name, level.number, level.title, level.points, state, message))
    return grade(kata.track, kata.slug, framework, tests)


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


def in_order(results: list[KataResult], catalog: Catalog) -> list[KataResult]:
    """Sorted as the catalog shows them."""
    order = {slug: index for index, slug in enumerate(catalog.katas)}
    return sorted(results, key=lambda result: (order[result.slug], result.framework))


def suggest(results: list[KataResult], catalog: Catalog) -> KataResult | None:
    """What to do next: a kata begun, else the easiest whose prerequisites are done; None when all is done."""
    for result in results:
        if result.state is State.FAILED:
            return result
    done = {result.slug for result in results if result.state is State.PASSED}
    waiting = [result for result in results if result.state is State.NOT_STARTED and result.slug not in done]
    return min(waiting, key=lambda result: _effort(catalog.find(result.slug), done, catalog), default=None)


def _effort(kata: Kata, done: set[str], catalog: Catalog) -> tuple:
    """Katas whose prerequisites are done come first, then the easy ones, then the short ones."""
    missing = [slug for slug in kata.meta.get("after", []) if slug in catalog.katas and slug not in done]
    return len(missing), kata.meta["difficulty"], kata.meta["minutes"]


def exit_status(results: list[KataResult]) -> int:
    """1 where anything that was begun does not pass; a stub that is as it came is no failure."""
    return int(any(result.state in (State.FAILED, State.ERROR) for result in results))


def run_jobs(jobs: list[Job]) -> Iterator[KataResult]:
    """The results of the jobs as they end."""
    from dojo.runner import Runner

    with Runner() as runner:
        for _, result in runner.run(jobs):
            yield result


def reason_for(result: KataResult, results: list[KataResult], catalog: Catalog) -> str:
    """Why `suggest` chose this kata, in a sentence."""
    kata = catalog.find(result.slug)
    if result.state is State.FAILED:
        level = result.first_open
        return f"You have begun it and stand at level {level.number}, {level.title}." if level else "You have begun it."
    done = {other.slug for other in results if other.state is State.PASSED}
    before = [slug for slug in kata.meta.get("after", []) if slug in done]
    why = f"It follows {' and '.join(before)}, which you have solved. " if before else ""
    return f"{why}Difficulty {kata.meta['difficulty']} of 5; of the katas that are open to you, none is easier."
