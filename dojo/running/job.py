"""A job: one kata, in one framework, on one tree."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from dojo.curriculum.katas import Kata

# What takes long to import and may be imported before a fork: a word in a kata's files to the module.
_SLOW = {"sklearn": "sklearn.datasets", "data": "sklearn.datasets", "PIL": "PIL.Image", "optuna": "optuna"}
_WORDS = re.compile(r"^\s*(?:import|from)\s+(\w+)|^from dojo\.testing import .*\b(data)\b", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """One kata, in one framework, on one tree."""

    kata: Kata
    framework: str
    tree: Path
    options: tuple[str, ...] = ()  # further options for pytest
    label: str = field(default="", compare=False)

    @property
    def implementation(self) -> Path:
        return self.kata.implementation(self.framework, self.tree)

    @property
    def imports(self) -> list[str]:
        """Modules that the kata's tests or this implementation import, and that take long."""
        files = [self.implementation, *sorted(self.kata.folder.glob("*_support.py")), self.kata.test_file]
        found = set().union(*(_imports(path, path.stat().st_mtime_ns) for path in files if path.exists()))
        return sorted(found)


@cache
def _imports(path: Path, _version: int) -> frozenset[str]:
    words = {word for pair in _WORDS.findall(path.read_text(encoding="utf-8", errors="replace")) for word in pair}
    return frozenset(_SLOW[word] for word in words if word in _SLOW)
