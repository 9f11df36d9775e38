"""What to do next, and why."""

from dojo.curriculum.katas import Catalog, Kata
from dojo.grading import KataResult, State


def suggest(results: list[KataResult], catalog: Catalog) -> KataResult | None:
    """What to do next: a kata begun, else the easiest whose prerequisites are done; None when all is done."""
    for result in results:
        if result.state is State.FAILED:
            return result
    done = {result.slug for result in results if result.state is State.PASSED}
    waiting = [result for result in results if result.state is State.NOT_STARTED and result.slug not in done]
    return min(waiting, key=lambda result: _effort(catalog.katas[result.slug], done, catalog), default=None)


def _effort(kata: Kata, done: set[str], catalog: Catalog) -> tuple:
    """Katas whose prerequisites are done come first, then the easy ones, then the short ones."""
    missing = [slug for slug in kata.brief.after if slug in catalog.katas and slug not in done]
    return len(missing), kata.brief.difficulty, kata.brief.minutes


def reason_for(result: KataResult, results: list[KataResult], catalog: Catalog) -> str:
    """Why `suggest` chose this kata, in a sentence."""
    kata = catalog.katas[result.slug]
    if result.state is State.FAILED:
        level = result.first_open
        return f"You have begun it and stand at level {level.number}, {level.title}." if level else "You have begun it."
    done = {other.slug for other in results if other.state is State.PASSED}
    before = [slug for slug in kata.brief.after if slug in done]
    why = f"It follows {' and '.join(before)}, which you have solved. " if before else ""
    return f"{why}Difficulty {kata.brief.difficulty} of 5; of the katas that are open to you, none is easier."
