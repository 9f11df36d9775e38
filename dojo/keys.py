"""What a result depends on: the one key under which learners' results and proofs are kept.

A key has two halves. `own` changes with the kata's own files, `harness` with dojo, its settings and the versions of
Python and of the packages.
"""

import hashlib
import json
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dojo.curriculum.frameworks import FRAMEWORKS, PACKAGES
from dojo.curriculum.katas import Kata
from dojo.files import ROOT, SOLUTIONS

# What no result depends on: these only show, remember or prove it.
_WITHOUT_EFFECT = ("commands", "learner", "proof", "report", "verbs.py", "__main__.py")
_ALWAYS = ("numpy", "pytest", "pytest-timeout")
_DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}  # import name to the name of the package
_IMPORT = re.compile(rb"^[ \t]*(?:import|from)\s+(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Key:
    """Two hashes; together they stand for all that a result depends on."""

    own: str
    harness: str

    def __str__(self) -> str:
        return f"{self.own}-{self.harness}"


class Files:
    """Reads each file once: for keys that are taken in one go, and no longer, since files change."""

    def __init__(self) -> None:
        self.content = cache(_content)
        self.beside = cache(_beside)


def key_of(kata: Kata, framework: str, implementation: Path | bytes, files: Files | None = None) -> Key:
    """The key of the result of this implementation (its file, or its text) of the kata, as the files are now."""
    files = files or Files()
    solution = kata.implementation(framework, kata.folder.parents[2] / SOLUTIONS.name)
    others = (*files.beside(kata.folder), solution, solution.with_name("mistakes.toml"))
    under_test = implementation if isinstance(implementation, bytes) else files.content(implementation)
    texts = [under_test, *map(files.content, others)]
    return Key(_hash(texts), _harness(framework, frozenset().union(*map(_imports, texts))))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # there is no such file
        return b""


def _beside(folder: Path) -> list[Path]:
    """The files of a kata's folder without its stubs."""
    kata = Kata(folder)
    stubs = {kata.file_name(name) for name in FRAMEWORKS}
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name not in stubs)


@lru_cache(maxsize=4096)
def _imports(text: bytes) -> frozenset[str]:
    """The packages that a file imports."""
    return frozenset(name.decode() for name in _IMPORT.findall(text))


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()[:24]


@cache
def _harness(framework: str, imported: frozenset[str]) -> str:
    """The parts of dojo that can change a result, its settings, and the versions below it."""
    names = {*_ALWAYS, *PACKAGES[framework]}
    names |= {_DISTRIBUTIONS.get(name, name) for name in imported - sys.stdlib_module_names - {"dojo"}}
    versions = {name: found for name in sorted(names) if (found := _version(name))}
    surroundings = json.dumps([versions, sys.version, platform.machine()])
    return _hash([*_sources(framework), _content(ROOT / "dojo.toml"), surroundings.encode()])


@cache
def _sources(framework: str) -> list[bytes]:
    others = tuple(f"{name}_" for name in FRAMEWORKS if name != framework)  # how their adapters' files begin
    paths = sorted((ROOT / "dojo").rglob("*.py"))
    kept = [path for path in paths if path.relative_to(ROOT / "dojo").parts[0] not in _WITHOUT_EFFECT]
    return [path.read_bytes() for path in kept if not path.name.startswith(others)]


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
