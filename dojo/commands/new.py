"""Make the files of a new kata, each with TODO where something is to be written.

After that `nox -s tests -- -k SLUG` lists what is missing. Nothing that exists is overwritten.
"""

import argparse
import keyword
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console

from dojo.curriculum.frameworks import FRAMEWORKS, parse_frameworks
from dojo.curriculum.katas import Catalog, Kata
from dojo.errors import DojoError, did_you_mean
from dojo.files import SOLUTIONS, shown

TEMPLATES = Path(__file__).parent / "new_kata"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kata", metavar="TRACK/SLUG", help="its folder under katas/, such as vision/conv2d")
    parser.add_argument("--frameworks", metavar="NAMES", default="all", help="such as torch,numpy; default: all")


def run(args: argparse.Namespace) -> int:
    catalog, console = Catalog(), Console(highlight=False)
    chosen = parse_frameworks(args.frameworks)
    kata = new_kata(args.kata, catalog)
    for path in write(kata, tuple(name for name in FRAMEWORKS if name in chosen), catalog.root):
        console.print(f"made: {shown(path)}", soft_wrap=True)
    console.print(f"Search them for TODO. What is missing: nox -s tests -- -k {kata.slug}", style="bold")
    return 0


def new_kata(name: str, catalog: Catalog) -> Kata:
    """The kata of that name, if it can be made; otherwise a DojoError."""
    track, slash, slug = name.partition("/")
    if not slash:
        raise DojoError(f"{name!r} names no track: give TRACK/SLUG, such as vision/conv2d.")
    if track not in catalog.tracks:
        hint = did_you_mean(track, catalog.tracks) or f" The tracks: {', '.join(catalog.tracks)}."
        raise DojoError(f"There is no track {track!r}.{hint}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", slug) or keyword.iskeyword(slug):
        raise DojoError(f"A slug is a Python name in lower case, such as linear_attention; {slug!r} is not.")
    if known := catalog.exactly(slug):
        raise DojoError(f"There is a kata {slug!r} already: {shown(known.folder)}. Choose another slug.")
    return Kata(catalog.root / track / slug)


def write(kata: Kata, frameworks: tuple[str, ...], katas: Path) -> list[Path]:
    """Write every file of the kata, or none where one is there already."""
    texts = _texts(kata, frameworks, katas)
    if there := [path for path in texts if path.exists()]:
        raise DojoError(f"{shown(there[0])} is there already, and nothing is overwritten: move it away first.")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _texts(kata: Kata, frameworks: tuple[str, ...], katas: Path) -> dict[Path, str]:
    """Every file with what it holds."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True)

    def fill(template: str, framework: str = "") -> str:
        values = {"slug": kata.slug, "framework": framework, "frameworks": frameworks}
        return templates.get_template(f"{template}.jinja").render(values)

    solution = SOLUTIONS / kata.track / kata.slug
    return {
        kata.folder / "kata.toml": fill("kata.toml"),
        kata.test_file: fill("test.py"),
        **{kata.implementation(name, katas): fill("stub.py", name) for name in frameworks},
        **{kata.implementation(name, SOLUTIONS): fill("solution.py", name) for name in frameworks},
        solution / "mistakes.toml": fill("mistakes.toml"),
        solution / "answer.md": fill("answer.md"),
    }
