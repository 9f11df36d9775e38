"""The hints of a kata."""

from dojo.curriculum.katas import Kata
from dojo.errors import DojoError
from dojo.files import shown


def hints_of(kata: Kata, level: int) -> list[str]:
    """The hints for a level, each a little more than the one before; a DojoError where there is none."""
    hints = kata.meta.hints.get(str(level), [])
    if not hints:
        raise DojoError(f"{shown(kata.folder)}/kata.toml has no hint for level {level}. Choose another with --level.")
    return hints
