"""Which katas exist: read from the folders under katas/ and the kata.toml in each."""

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dojo.errors import DojoError, did_you_mean

FRAMEWORKS = ("numpy", "torch", "tensorflow")
ROOT = Path(__file__).resolve().parent.parent

_REQUIRED = {"title": str, "difficulty": int, "minutes": int, "answers": list}
_OPTIONAL = {"after": list, "off_limits": list, "hints": dict}


def read_toml(path: Path) -> dict[str, Any]:
    """The file's content. A file that is missing or not TOML is a DojoError that names it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DojoError(f"{shown(path)} is missing. Restore it, for example with git checkout.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DojoError(f"{shown(path)} is not valid TOML: {error}. Correct that line.") from None


def shown(path: Path) -> str:
    """A path as people read it: relative to the repository where it lies inside."""
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


@dataclass(frozen=True)
class Kata:
    """One kata: a folder katas/<track>/<slug>."""

    folder: Path

    @property
    def slug(self) -> str:
        return self.folder.name

    @property
    def track(self) -> str:
        return self.folder.parent.name

    @property
    def test_file(self) -> Path:
        return self.folder / f"test_{self.slug}.py"

    @cached_property
    def frameworks(self) -> tuple[str, ...]:
        """The frameworks that the kata has a stub for, in the order of FRAMEWORKS."""
        return tuple(name for name in FRAMEWORKS if (self.folder / self.file_name(name)).exists())

    def file_name(self, framework: str) -> str:
        return f"{self.slug}_{framework}.py"

    def implementation(self, framework: str, tree: Path) -> Path:
        """Where `tree`, which mirrors katas/, holds this kata in this framework."""
        return tree / self.track / self.slug / self.file_name(framework)

    @cached_property
    def meta(self) -> dict[str, Any]:
        """kata.toml, checked; a wrong one is a DojoError that names the file, the key and the remedy."""
        path = self.folder / "kata.toml"
        meta = read_toml(path)
        for key in _REQUIRED:
            if key not in meta:
                raise DojoError(f"{shown(path)} lacks the key {key!r}. Add it: see any other kata.toml.")
        for key, value in meta.items():
            kind = (_REQUIRED | _OPTIONAL).get(key)
            if kind is None:
                hint = did_you_mean(key, _REQUIRED | _OPTIONAL)
                raise DojoError(f"{shown(path)} has an unknown key {key!r}.{hint} Remove or rename it.")
            if not isinstance(value, kind):
                found = type(value).__name__
                raise DojoError(f"{shown(path)}: {key!r} must be of type {kind.__name__}, not {found}. Correct it.")
        return meta

    @property
    def title(self) -> str:
        return self.meta["title"]


class Catalog:
    """Every kata below one folder."""

    def __init__(self, root: Path = ROOT / "katas"):
        self.root = root

    @cached_property
    def katas(self) -> dict[str, Kata]:
        """Slug to kata: tracks in the order of tracks.toml, the katas of a track by name."""
        found = [Kata(path.parent) for path in self.root.glob("*/*/kata.toml")]
        order = list(self.tracks)
        found.sort(key=lambda kata: (order.index(kata.track) if kata.track in order else len(order), kata.slug))
        return {kata.slug: kata for kata in found}

    @cached_property
    def tracks(self) -> dict[str, str]:
        """Track to title, in the order in which they are shown."""
        return {track: entry["title"] for track, entry in read_toml(self.root / "tracks.toml").items()}

    def find(self, slug: str) -> Kata:
        """The kata of that name; a DojoError with near names where there is none."""
        files = self.root.glob(f"*/{slug}/kata.toml") if slug.isidentifier() else []  # without listing every kata
        for file in files:
            return Kata(file.parent)
        raise DojoError(f"There is no kata {slug!r}.{did_you_mean(slug, self.katas)} All katas: nox -s check")

    def select(self, slugs: list[str]) -> list[Kata]:
        """The katas of those names, or every kata where no name is given."""
        return [self.find(slug) for slug in slugs] if slugs else list(self.katas.values())

    def owner(self, path: Path) -> Kata | None:
        """The kata whose folder holds `path`."""
        if not path.is_relative_to(self.root):
            return None
        parts = path.relative_to(self.root).parts
        folder = self.root.joinpath(*parts[:2])
        return Kata(folder) if len(parts) >= 2 and (folder / "kata.toml").exists() else None
