"""Which katas exist: read from the folders under katas/ and the kata.toml in each."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.errors import DojoError, did_you_mean
from dojo.files import ROOT, read_table, read_toml, shown


@dataclass(frozen=True)
class Meta:
    """kata.toml."""

    title: str
    difficulty: int  # 1 (warm-up) to 5
    minutes: int  # what an interview would give it
    answers: tuple[str, ...]  # ids of the questions that the kata answers
    after: tuple[str, ...] = ()  # katas worth doing first
    off_limits: tuple[str, ...] = ()  # dotted names
    hints: dict[str, list] = field(default_factory=dict)  # level to its hints, each a little more than the one before


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
        """Where `tree` has this kata in this framework: it mirrors katas/, or holds files of one kata only."""
        only = tree / self.file_name(framework)
        return only if only.is_file() else tree.joinpath(self.track, self.slug, only.name)

    @cached_property
    def meta(self) -> Meta:
        """kata.toml, checked; a wrong one is a DojoError that names the file, the key and the remedy."""
        return self._read_meta()

    @cached_property
    def brief(self) -> Meta:
        """The same without the hints: they are most of the file, and the board reads the file of every kata."""
        return self._read_meta(only_head=True)

    def _read_meta(self, only_head: bool = False) -> Meta:
        path = self.folder / "kata.toml"
        return read_table(Meta, read_toml(path, only_head), shown(path))

    @property
    def title(self) -> str:
        return self.meta.title


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
        if kata := self.exactly(slug):
            return kata
        raise DojoError(f"There is no kata {slug!r}.{did_you_mean(slug, self.katas)} All katas: nox -s check")

    def exactly(self, text: str) -> Kata | None:
        """The kata whose slug the text is, if it is one; found without reading any other kata."""
        files = self.root.glob(f"*/{text}/kata.toml") if text.isidentifier() else []
        return next((Kata(file.parent) for file in files), None)

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


def find_tree(text: str, root: Path, here: Path) -> Path:
    """The folder that --impl names: a tree of the repository, one that mirrors katas/, or the files of one kata."""
    tree = root / text if text in ("katas", "solutions") else (here / text).resolve()
    if not tree.is_dir():
        raise DojoError(
            f"--impl={text}: there is no folder {tree}. Give katas, solutions or a folder that mirrors katas/."
        )
    return tree
