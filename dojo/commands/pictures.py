"""Draw the README's pictures from the program itself: the board, and a failing verdict."""

import argparse
import io
import re
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType

from dojo.catalog import ROOT, Catalog
from dojo.checking import in_order, not_started, suggest
from dojo.grading import KataResult
from dojo.mistakes import apply, read_mistakes
from dojo.report.board import board, next_step, tally
from dojo.report.terminal import verdict
from dojo.runner import Job, Runner
from dojo.variants import SOLUTIONS, job_for, solution_source

FOLDER = ROOT / "docs"
# rich's own picture without the fonts that it would fetch from a network: the reader's monospace font serves.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n?", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    catalog = Catalog()
    with tempfile.TemporaryDirectory() as folder, Runner() as runner:
        results = {
            (result.slug, result.framework): result
            for _, result in runner.run([*solved(catalog), slipped(catalog, Path(folder))])
        }
    failing = results["attention", "torch"]
    draw("verdict", "pytest -k attention", verdict(_at_home(failing, catalog)))
    shown = in_order([*results.values(), *untouched(catalog, set(results))], catalog)
    draw("board", "nox -s check", board(shown, catalog), tally(shown), next_step(suggest(shown, catalog), catalog))
    return 0


def solved(catalog: Catalog) -> list[Job]:
    """What the learner in the picture has solved."""
    return [Job(catalog.find(slug), "torch", SOLUTIONS) for slug in ("softmax", "dropout")]


def slipped(catalog: Catalog, folder: Path) -> Job:
    """What they are at: attention, with a mistake in it."""
    kata = catalog.find("attention")
    mistake = next(entry for entry in read_mistakes(kata) if entry.framework == "torch" and entry.level == 3)
    return job_for(kata, "torch", apply(mistake, solution_source(kata, "torch"), kata.slug), folder, mistake.name)


def untouched(catalog: Catalog, known: set[tuple[str, str]]) -> list[KataResult]:
    return [
        not_started(kata, framework, catalog.root)
        for kata in catalog.katas.values()
        for framework in kata.frameworks
        if (kata.slug, framework) not in known
    ]


def _at_home(result: KataResult, catalog: Catalog) -> KataResult:
    """The same result, told as if the file lay where a learner's does."""
    kata = catalog.find(result.slug)
    for level in result.levels:
        for test in level.tests:
            if test.where:
                line = test.where.rsplit(":", 1)[1]
                test.where = f"katas/{kata.track}/{kata.slug}/{kata.file_name(result.framework)}:{line}"
    return result


def draw(name: str, title: str, *parts: RenderableType) -> None:
    """Write docs/<name>.svg."""
    FOLDER.mkdir(exist_ok=True)
    console = Console(record=True, width=100, file=io.StringIO(), highlight=False)
    for part in parts:
        console.print(part)
    console.save_svg(str(FOLDER / f"{name}.svg"), title=title, code_format=_FORMAT)
