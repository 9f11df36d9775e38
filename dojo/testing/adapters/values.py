"""Arrays against what they should be, in words."""

from typing import Any

import numpy as np

# (relative, absolute) tolerance of a value by its dtype: a few roundings of a short sum.
TOLERANCES = {
    "float16": (5e-3, 5e-3),
    "bfloat16": (4e-2, 4e-2),
    "float32": (1e-4, 1e-5),
    "float64": (1e-8, 1e-10),
    "complex64": (1e-4, 1e-5),
    "complex128": (1e-8, 1e-10),
}


class CheckFailed(AssertionError):
    """A check that the learner's value did not pass, in words; `actual` is the value, where its entries are wrong."""

    def __init__(self, message: str, actual: np.ndarray | None = None):
        super().__init__(message)
        self.actual = actual


def check_values(actual: np.ndarray, expected: np.ndarray, of: str, rtol: float, atol: float) -> None:
    """The last two rungs of the ladder, on arrays of equal shape."""
    expected = np.asarray(expected)
    if actual.dtype.kind in "fc":
        check_finite(actual, expected, of)
    wide = "complex128" if "c" in actual.dtype.kind + expected.dtype.kind else "float64"
    finite = np.isfinite(expected.astype(wide))
    with np.errstate(invalid="ignore"):  # inf - inf, where both are rightly infinite
        error = np.abs(np.where(finite, actual.astype(wide) - expected.astype(wide), 0))
    allowed = atol + rtol * np.abs(np.where(finite, expected.astype(wide), 0))
    excess = error - allowed
    if not np.any(excess > 0):
        return
    worst = np.unravel_index(np.argmax(excess), error.shape)
    at = f" at {_index(worst)}" if worst else ""
    count = f"{np.sum(excess > 0)} of {error.size} entries are wrong; the worst" if error.size > 1 else "it"
    limit = f"Tolerance: {atol:g} + {rtol:g}·|expected|." if rtol or atol else "It must be exact."
    told = f"{count}{at} should be {_numbers(expected[worst], actual[worst])}"
    raise CheckFailed(f"{of}: wrong values: {told}. {limit}", actual)


def check_finite(actual: np.ndarray, expected: np.ndarray, of: str) -> None:
    """nan and inf stand where the oracle has them, and nowhere else."""
    expected = expected.astype(actual.dtype)
    wrong = ~np.isfinite(actual) & ~((actual == expected) | (np.isnan(actual) & np.isnan(expected)))
    wrong |= ~np.isfinite(expected) & ~((actual == expected) | (np.isnan(actual) & np.isnan(expected)))
    if np.any(wrong):
        first = np.unravel_index(np.argmax(wrong), wrong.shape)
        at = f" at {_index(first)}" if first else ""
        raise CheckFailed(
            f"{of}: {np.sum(wrong)} of {wrong.size} entries are not finite as they should be: expected "
            f"{_number(expected[first])}{at}, got {_number(actual[first])}.",
            actual,
        )


def _index(index: tuple) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def _numbers(expected: Any, actual: Any) -> str:
    """'2 and is 3', in as many digits as it takes to tell them apart."""
    for digits in (6, 9, 17):
        right, found = _number(expected, digits), _number(actual, digits)
        if right != found:
            break
    return f"{right} and is {found}"


def _number(x: Any, digits: int = 6) -> str:
    return f"{x:.{digits}g}" if isinstance(x, np.floating | float | complex | np.complexfloating) else str(x)


def described(value: Any) -> str:
    """A value in a few words: its type, and what it holds where that is short."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    text = repr(value)
    return f"{kind} {text}" if len(text) <= 60 else f"a {kind}"


def listed(names: list[str] | tuple[str, ...]) -> str:
    """'output, weights and mask'."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
