"""mistakes.toml: what people really write, as edits of the solution."""

from dataclasses import dataclass
from pathlib import Path

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Kata
from dojo.errors import DojoError, did_you_mean
from dojo.files import SOLUTIONS, read_table, read_toml, shown


@dataclass(frozen=True)
class Mistake:
    """One mistake in one framework."""

    name: str
    says: str  # what the learner is told: a sentence
    level: int  # the first level that refuses it
    framework: str = ""
    edits: tuple[tuple[str, str], ...] = ()  # (find, put)


@dataclass(frozen=True)
class _Entry:
    """What an entry holds beside its edits."""

    name: str
    says: str
    level: int


def read_mistakes(kata: Kata, solutions: Path = SOLUTIONS) -> list[Mistake]:
    """Every mistake of a kata, one entry per framework; a wrong file is a DojoError that says what and where."""
    path = solutions / kata.track / kata.slug / "mistakes.toml"
    content = read_toml(path)
    for key in content:
        if key != "mistake":
            raise DojoError(f"{shown(path)} has an unknown table {key!r}. Every entry begins with [[mistake]].")
    return [mistake for entry in content.get("mistake", []) for mistake in _read_entry(path, entry)]


def _read_entry(path: Path, entry: dict) -> list[Mistake]:
    named = f"the mistake {entry['name']!r}" if "name" in entry else "a mistake"
    edits = {name: entry[name] for name in FRAMEWORKS if name in entry}
    rest = {key: value for key, value in entry.items() if key not in edits}
    for key in rest.keys() - _Entry.__dataclass_fields__.keys():  # it may be meant for a framework
        hint = did_you_mean(key, [*_Entry.__dataclass_fields__, *FRAMEWORKS])
        raise DojoError(f"{shown(path)}: {named} has an unknown key {key!r}.{hint} Remove or rename it.")
    read = read_table(_Entry, rest, f"{shown(path)}: {named}")
    if not (read.says[:1].isupper() and read.says.endswith(".")):
        raise DojoError(f"{shown(path)}: {named}: 'says' must be a sentence: a capital, a full stop. Correct it.")
    if not edits:
        raise DojoError(f"{shown(path)}: {named} has no edit. Add one per framework: torch = {{ find = …, put = … }}")
    return [
        Mistake(read.name, read.says, read.level, framework, _edits(path, named, value))
        for framework, value in edits.items()
    ]


def _edits(path: Path, named: str, value: object) -> tuple[tuple[str, str], ...]:
    entries = value if isinstance(value, list) else [value]
    for edit in entries:
        if not isinstance(edit, dict) or set(edit) != {"find", "put"}:
            raise DojoError(
                f"{shown(path)}: {named}: an edit has just the keys find and put, not {edit!r}. Correct it."
            )
    return tuple((edit["find"], edit["put"]) for edit in entries)


def apply(mistake: Mistake, source: str, file: str) -> str:
    """The solution's source with the mistake made; a DojoError where an edit does not fit exactly once."""
    for find, put in mistake.edits:
        if (count := source.count(find)) != 1:
            raise DojoError(
                f"{file}: the mistake {mistake.name!r} looks for {find!r}, which occurs {count} times. "
                "It must occur once: correct `find` in mistakes.toml."
            )
        source = source.replace(find, put)
    return source
