"""Which frameworks there are, which are installed here, and which of them a run is about."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dojo.curriculum.stubs import is_started
from dojo.errors import DojoError, did_you_mean

if TYPE_CHECKING:
    from dojo.curriculum.katas import Kata

# Each framework and the packages that its results depend on. A further framework is one more line here, a module
# dojo/testing/adapters/<name>_adapter.py, and its stubs.
PACKAGES = {"numpy": ("numpy",), "torch": ("torch",), "tensorflow": ("tensorflow", "keras")}
FRAMEWORKS = tuple(PACKAGES)
WITHOUT_GRADIENTS = ("numpy",)  # tests that need them are not made for these


@cache
def is_installed(framework: str) -> bool:
    """Whether the framework can be imported; found without importing it."""
    return find_spec(framework) is not None


def absent(framework: str) -> str:
    """Why a framework cannot be used here; '' where it can."""
    if is_installed(framework):
        return ""
    return f"{framework} is not installed: add it to frameworks in dojo.toml and run nox -s check"


def parse_frameworks(text: str | None) -> tuple[str, ...] | None:
    """The frameworks that --framework names: None where it is not given, all of them for 'all'."""
    if text is None:
        return None
    return FRAMEWORKS if text == "all" else tuple(map(check_framework, text.split(",")))


def check_framework(name: str, where: str = "") -> str:
    """The name, if it is that of a framework; otherwise a DojoError that names the nearest."""
    if name in FRAMEWORKS:
        return name
    hint = did_you_mean(str(name), (*FRAMEWORKS, "all")) or f" Choose from {', '.join(FRAMEWORKS)} or all."
    raise DojoError(f"{where}{'there' if where else 'There'} is no framework {name!r}.{hint}")


def frameworks_of(
    kata: "Kata", tree: Path, enabled: tuple[str, ...], wanted: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    """The frameworks to run a kata in, in the order of FRAMEWORKS: the one answer that everything asks.

    Those wanted. By default those of the `enabled` ones that are started in `tree`; if none is, all that are enabled.
    """
    if wanted is not None:
        return tuple(name for name in kata.frameworks if name in wanted)
    available = tuple(name for name in kata.frameworks if name in enabled)
    return tuple(name for name in available if is_started(kata.implementation(name, tree))) or available
