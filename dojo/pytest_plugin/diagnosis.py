"""Naming a known mistake: the failing test is run again on each mistake of the kata, and what comes out is compared.

A diagnosis is given only for numbers, shapes or errors that equal a mistake's. Several mistakes that fit are all named.
"""

import difflib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from dojo.curriculum.katas import Kata
from dojo.curriculum.mistakes import Mistake, apply, read_mistakes
from dojo.errors import DojoError
from dojo.testing.adapters.base import CheckFailed
from dojo.testing.loading import load
from dojo.testing.workers.errors import around

_FIRST = 0.5  # seconds that the first run of a test may have spent on starting the framework's machinery
_CLOSE = {"float64": (1e-10, 1e-11)}  # (relative, absolute): a mistake's own rerun differs by rounding alone
_CLOSE_ELSE = (1e-4, 1e-6)  # in every other dtype
# What a message holds that differs from run to run: addresses, temporary files, identifiers drawn at random, the clock
# of a progress bar, and the numbers that Keras gives its layers (conv2d_4).
_PASSING = re.compile(
    rf"0x[0-9a-f]+|{re.escape(tempfile.gettempdir())}[^\s'\"]*|[0-9a-f]{{8}}(-[0-9a-f]{{4,12}}){{4}}"
    r"|\[\d\d:\d\d[^]]*\]|\B(_\d+)+\b"
)


@dataclass
class Budget:
    """What all reruns for one kata may take together, in seconds: by the clock, and of the processor.

    A learner waits for a second at most. On a machine that is busy with other tests a second of the processor lasts
    longer: there more patience finds the same, and not more.
    """

    patience: float
    work: float = 1.0

    def allows(self, cost: tuple[float, float]) -> bool:
        return cost[0] <= self.work and cost[1] <= self.patience

    @contextmanager
    def spend(self) -> Iterator[None]:
        begun = time.process_time(), time.monotonic()
        yield
        self.work -= time.process_time() - begun[0]
        self.patience -= time.monotonic() - begun[1]


def diagnose(
    error: BaseException,
    kata: Kata,
    framework: str,
    level: int,
    trees: tuple[Path, Path],
    rerun: Callable[[ModuleType], BaseException | None],
    cost: tuple[float, float],
    budget: Budget,
    one_suffices: bool = False,
) -> str:
    """The mistakes that fit the failure, in words; '' where none does.

    Where the budget did not suffice to try them all, another might fit as well: then it says so.

    Args:
        error: what the learner's code made the test raise.
        level: where the test stands: a mistake that an earlier or a later level refuses first would not end here.
        trees: the tree of the learner's implementation, and that of the reference solutions.
        rerun: runs the same test, with the same random numbers, on another module; returns what it raised.
        cost: how long the test takes once: seconds of the processor, and by the clock.
        budget: what may be spent, and is.
        one_suffices: end the search at the first mistake that fits.
    """
    cost, found = (cost[0] - _FIRST, cost[1] - _FIRST), []
    for mistake, source in _candidates(kata, framework, level, trees):
        if not budget.allows(cost):
            return sentence(found, certain=False)
        before = budget.work, budget.patience
        with budget.spend():
            if same_failure(error, _try(source, kata.implementation(framework, trees[1]), rerun)):
                found.append(mistake.says)
        if found and one_suffices:
            break
        cost = before[0] - budget.work, before[1] - budget.patience
    return sentence(found)


def _candidates(kata: Kata, framework: str, level: int, trees: tuple[Path, Path]) -> list[tuple[Mistake, str]]:
    """The level's mistakes, made in the solution; those first that read most like the learner's code.

    Where the time does not suffice for all of them, it should go to the likeliest.
    """
    mine, solution = (kata.implementation(framework, tree) for tree in trees)
    try:
        right = solution.read_text(encoding="utf-8")
        mistakes = [
            each for each in read_mistakes(kata, trees[1]) if (each.framework, each.level) == (framework, level)
        ]
        made = [(mistake, apply(mistake, right, solution.name)) for mistake in mistakes]
    except (DojoError, OSError):
        return []  # a broken mistakes.toml, or none, is no business of the learner's
    lines = difflib.SequenceMatcher(None, b=mine.read_text(encoding="utf-8").splitlines(), autojunk=False)

    def likeness(candidate: tuple[Mistake, str]) -> float:
        lines.set_seq1(candidate[1].splitlines())
        return lines.ratio()

    return sorted(made, key=likeness, reverse=True)


def _try(source: str, solution: Path, rerun: Callable) -> BaseException | None:
    """What the test raises on `source` in place of the solution; leaves no trace in the import system."""
    before_path, before_module = list(sys.path), sys.modules.get(solution.stem)
    with tempfile.TemporaryDirectory(prefix="dojo-diagnosis-") as folder:
        file = Path(folder) / solution.name
        try:
            file.write_text(source, encoding="utf-8")
            return rerun(load(file))
        except Exception as error:
            return error
        finally:
            sys.path[:] = before_path
            sys.modules.pop(solution.stem, None)
            if before_module is not None:
                sys.modules[solution.stem] = before_module


def same_failure(one: BaseException, other: BaseException | None) -> bool:
    """Whether two failures are the same: equal numbers where there are numbers, else equal kind and words."""
    if other is None or type(one) is not type(other) or around(one) != around(other):
        return False
    if isinstance(one, CheckFailed) and one.actual is not None and other.actual is not None:
        return _subject(one) == _subject(other) and _equal(one.actual, other.actual)
    return _words(one) == _words(other)


def _words(error: BaseException) -> str:
    """Its message, without what pytest adds to an assertion, and without what differs from run to run."""
    return _PASSING.sub("", str(error).partition("\nassert ")[0])


def _subject(error: CheckFailed) -> str:
    """What the check was about, as its message begins."""
    return str(error).split(":")[0]


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    rtol, atol = _CLOSE.get(a.dtype.name, _CLOSE_ELSE)
    return bool(np.allclose(a, b, rtol, atol, equal_nan=True))


def sentence(found: list[str], certain: bool = True) -> str:
    """The diagnosis in words; '' where nothing fits."""
    if len(found) > 1:
        return f"Either: {' Or: '.join(found)}"
    return "".join(found) if certain or not found else f"Perhaps: {found[0]}"
