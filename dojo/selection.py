"""Which katas and which frameworks a run is about."""

from pathlib import Path

from dojo.adapters import is_installed
from dojo.catalog import FRAMEWORKS, Catalog, Kata
from dojo.errors import DojoError, did_you_mean
from dojo.loader import is_started


def parse_frameworks(text: str | None) -> tuple[str, ...] | None:
    """The frameworks that --framework names: None where it is not given, all of them for 'all'."""
    if text is None:
        return None
    if text == "all":
        return FRAMEWORKS
    names = tuple(text.split(","))
    for name in names:
        if name not in FRAMEWORKS:
            hint = did_you_mean(name, (*FRAMEWORKS, "all")) or f" Choose from {', '.join(FRAMEWORKS)} or all."
            raise DojoError(f"There is no framework {name!r}.{hint}")
    return names


def find_tree(text: str, root: Path, here: Path) -> Path:
    """The folder that --impl names: a tree of the repository, or any folder that mirrors katas/."""
    tree = root / text if text in ("katas", "solutions") else (here / text).resolve()
    if not tree.is_dir():
        raise DojoError(
            f"--impl={text}: there is no folder {tree}. Give katas, solutions or a folder that mirrors katas/."
        )
    return tree


def frameworks_of(kata: Kata, tree: Path, wanted: tuple[str, ...] | None, enabled: tuple[str, ...]) -> tuple[str, ...]:
    """The frameworks to run a kata in: those wanted; by default those started, and if none is, all that are enabled."""
    if wanted is not None:
        return tuple(name for name in kata.frameworks if name in wanted)
    available = tuple(name for name in kata.frameworks if name in enabled)
    started = tuple(name for name in available if is_started(kata.implementation(name, tree)))
    return started or available


def absent(framework: str) -> str:
    """Why a framework cannot be used here; '' where it can."""
    if is_installed(framework):
        return ""
    return f"{framework} is not installed: add it to frameworks in dojo.toml and run nox -s check"


def exact_slug(expression: str, catalog: Catalog) -> Kata | None:
    """The kata whose slug the `-k` expression is, if it is one; found without reading any other kata."""
    if not expression.isidentifier():
        return None
    for folder in catalog.root.glob(f"*/{expression}"):
        if (folder / "kata.toml").exists():
            return Kata(folder)
    return None
