"""The errors that dojo shows to people: one sentence each, and no traceback."""

import difflib
from collections.abc import Iterable


class DojoError(Exception):
    """What was wrong, what was expected and what to do, in a sentence or two."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean …?', or nothing where no known word comes near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]}?" if near else ""
