"""A job: one kata, in one framework, on one tree."""

from dataclasses import dataclass, field
from pathlib import Path

from dojo.curriculum.katas import Kata


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
