"""Naming a known mistake: the failing test is run again on each mistake of the kata, and what comes out is compared.

A diagnosis is given only for numbers, shapes or errors that equal a mistake's. Several mistakes that fit are all named.
"""

import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from dojo.adapters.base import CheckFailed
from dojo.catalog import Kata
from dojo.errors import DojoError
from dojo.loader import load
from dojo.mistakes import Mistake, apply, read_mistakes

# What all reruns of one failure may take together, in seconds: of the processor, and by the clock. The second is for
# tests that wait for other processes; on a busy machine everything waits, and a diagnosis should not depend on that.
BUDGET, PATIENCE = 1.0, 3.0
_FIRST = 0.5  # what the first run of a test may have spent on starting the framework's machinery
_CLOSE = 1e-4  # relative; a mistake's own rerun differs by rounding alone


def diagnose(
    error: BaseException,
    kata: Kata,
    framework: str,
    level: int,
    solutions: Path,
    rerun: Callable[[ModuleType], BaseException | None],
    cost: tuple[float, float],
) -> list[str]:
    """What the mistakes that fit the failure are called by `says`.

    Args:
        error: what the learner's code made the test raise.
        level: where the test stands: a mistake that an earlier or a later level refuses first would not end here.
        solutions: the tree of the reference solutions.
        rerun: runs the same test, with the same random numbers, on another module; returns what it raised.
        cost: how long the test takes once: seconds of the processor, and by the clock.
    """
    worked, waited, once, found = 0.0, 0.0, cost[0] - _FIRST, []
    for mistake in _candidates(kata, framework, level, solutions):
        if worked + once > BUDGET or waited + cost[1] > PATIENCE:
            break
        begun = time.process_time(), time.monotonic()
        if same_failure(error, _try(mistake, kata, framework, solutions, rerun)):
            found.append(mistake.says)
        once = time.process_time() - begun[0]
        worked, waited = worked + once, waited + time.monotonic() - begun[1]
    return found


def _candidates(kata: Kata, framework: str, level: int, solutions: Path) -> list[Mistake]:
    try:
        mistakes = read_mistakes(kata, solutions)
    except DojoError:
        return []  # a broken mistakes.toml is no business of the learner's
    return [mistake for mistake in mistakes if mistake.framework == framework and mistake.level == level]


def _try(mistake: Mistake, kata: Kata, framework: str, solutions: Path, rerun: Callable) -> BaseException | None:
    """What the test raises on the solution with the mistake made; leaves no trace in the import system."""
    solution = kata.implementation(framework, solutions)
    before_path, before_module = list(sys.path), sys.modules.get(solution.stem)
    with tempfile.TemporaryDirectory(prefix="dojo-diagnosis-") as folder:
        file = Path(folder) / solution.name
        try:
            file.write_text(apply(mistake, solution.read_text(encoding="utf-8"), file.name), encoding="utf-8")
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
    if other is None or type(one) is not type(other):
        return False
    if isinstance(one, CheckFailed) and one.actual is not None and other.actual is not None:
        return _subject(one) == _subject(other) and _equal(one.actual, other.actual)
    return _words(one) == _words(other)


def _words(error: BaseException) -> str:
    """Its message, without what pytest adds to an assertion, and without what differs from run to run: addresses, and
    the numbers that Keras gives its layers (conv2d_4)."""
    return re.sub(r"0x[0-9a-f]+|\B_\d+\b", "", str(error).partition("\nassert ")[0])


def _subject(error: CheckFailed) -> str:
    """What the check was about, as its message begins."""
    return str(error).split(":")[0]


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    return bool(np.allclose(a, b, rtol=_CLOSE, atol=1e-6, equal_nan=True))


def sentence(found: list[str]) -> str:
    """The diagnosis in words; '' where nothing fits."""
    told = [as_sentence(says) for says in found]
    return f"Either: {' Or: '.join(told)}" if len(told) > 1 else "".join(told)


def as_sentence(says: str) -> str:
    """With a capital, unless it begins with a piece of code, and a full stop."""
    word = says.split()[0]
    begin = says[0].upper() if word.isalpha() and word.islower() else says[0]
    return f"{begin}{says[1:].removesuffix('.')}."
