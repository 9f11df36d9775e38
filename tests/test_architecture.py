"""The house: which folder may use which, how large anything may grow, and who knows a framework's name."""

import ast
from functools import cache
from pathlib import Path

import pytest

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.files import ROOT

DOJO = ROOT / "dojo"
FILES = sorted(DOJO.rglob("*.py"))
# The way of a check. A part uses itself and what stands before it, and nothing that stands after it.
ORDER = [
    "errors",
    "files",
    "compat",
    "verbs",
    "curriculum",
    "settings",
    "keys",
    "grading",
    "testing",
    "report",
    "pytest_plugin",
    "running",
    "learner",
    "proof",
    "commands",
    "__main__",
]
LONGEST_FILE, LONGEST_CLASS = 300, 150  # lines


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def for_each_file(function):
    return pytest.mark.parametrize("path", FILES, ids=named)(function)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def part_of(path: Path) -> str:
    """The folder of dojo that a file belongs to, or the file itself where it lies in none."""
    return path.relative_to(DOJO).parts[0].removesuffix(".py")


def module_file(name: str) -> Path | None:
    """The file of the module `dojo.…`; None where there is no such module."""
    stem = ROOT.joinpath(*name.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.exists()), None)


def uses(path: Path) -> set[Path]:
    """The files of dojo that a file imports, also inside of functions; what only the type checker reads is left out."""
    found = set()
    for node in ast.walk(tree_of(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [item.name for item in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{item.name}" for item in node.names]
            names = [name if module_file(name) else node.module for name in names]
        found |= {file for name in names if name.split(".")[0] == "dojo" and (file := module_file(name))}
    return found - {path} - _only_for_types(path)


def _only_for_types(path: Path) -> set[Path]:
    blocks = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.If)]
    blocks = [node for node in blocks if getattr(node.test, "id", "") == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {file for node in imports if (file := module_file(node.module or ""))}


@for_each_file
def test_arrows_run_one_way(path):
    part = part_of(path)
    if part == "__init__":
        return
    allowed = ORDER[: ORDER.index(part) + 1]
    back = [named(file) for file in uses(path) if part_of(file) not in allowed]
    assert not back, f"{named(path)} uses {', '.join(back)}, which stands after {part}"


def test_no_module_uses_itself_by_a_detour():
    done: set[Path] = set()

    def visit(path: Path, way: list[Path]) -> None:
        assert path not in way, " → ".join(map(named, [*way[way.index(path) :], path]))
        if path not in done:
            for used in sorted(uses(path)):
                visit(used, [*way, path])
            done.add(path)

    for path in FILES:
        visit(path, [])


@for_each_file
def test_a_file_and_its_classes_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno - node.lineno < LONGEST_CLASS, node.name


@cache
def own_names() -> set[str]:
    """Every name beginning with one underscore that dojo itself defines or sets."""
    found = set()
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


@for_each_file
def test_private_names_of_other_libraries_stand_in_compat_only(path):
    if path.name == "compat.py":
        return
    private = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own_names() | {"_exit"}:
            private.append(node.attr)
        if isinstance(node, ast.ImportFrom) and any(map(is_private, (node.module or "").split("."))):
            private.append(node.module)
    assert not private


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@for_each_file
def test_a_framework_is_named_by_its_adapter_and_in_one_list(path):
    """`FRAMEWORKS` is that list. Elsewhere a name may only stand for what belongs to that framework alone."""
    allowed = ("testing/adapters/", "curriculum/frameworks.py", "compat.py")
    if any(part in path.as_posix() for part in allowed):
        return
    texts = [node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)]
    found = [text for text in texts if text in FRAMEWORKS]
    assert len(found) <= ALLOWED_NAMES.get(named(path), 0), found


ALLOWED_NAMES = {"dojo/keys.py": 1}  # NumPy is also the package that every expected value is computed with
