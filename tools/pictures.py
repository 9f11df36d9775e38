"""Draw the README's pictures from the program itself.

They show the board, a failing verdict, watching, an interview and the report. Watching and the interview are filmed:
the real commands run on a terminal of their own, in a copy of the project. The report is photographed by Chromium,
where there is one.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from dojo.compat import svg_without_fonts
from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.mistakes import apply, read_mistakes
from dojo.errors import DojoError
from dojo.files import ROOT, SOLUTIONS
from dojo.grading import KataResult, in_order, not_started
from dojo.learner.next_kata import suggest
from dojo.proof.claims import solution_source
from dojo.report.board import Board, next_step
from dojo.report.terminal import verdict
from dojo.running.job import Job
from dojo.running.runner import Runner
from tools.project_copy import copy_project
from tools.terminal import running

WIDTH = 100
COMMIT = "git init -q && git add -A && git -c user.name=dojo -c user.email=dojo@localhost commit -qm stubs"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "docs", metavar="FOLDER", help="default: docs")
    into = parser.parse_args(arguments).into
    into.mkdir(parents=True, exist_ok=True)
    draw_results(into, Catalog())
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "dojo"
        copy_project(project, None)
        subprocess.run(COMMIT, cwd=project, shell=True, check=True, capture_output=True)
        draw(into / "watch.svg", "nox -s watch", film_watch(project))
        draw(into / "interview.svg", "nox -s interview", film_interview(project))
        photograph_report(into / "report.png", project)


def draw_results(into: Path, catalog: Catalog) -> None:
    """A failing verdict, and the board of somebody who has solved two katas and is at a third."""
    with tempfile.TemporaryDirectory() as folder, Runner() as runner:
        results = {
            (result.slug, result.framework): result
            for _, result in runner.run([*solved(catalog), slipped(catalog, Path(folder))])
        }
    failing = results["attention", "torch"]
    draw(into / "verdict.svg", "pytest -k attention", verdict(_at_home(failing, catalog)))
    shown = in_order([*results.values(), *untouched(catalog, set(results))], catalog)
    board = Board(shown, catalog, FRAMEWORKS, width=WIDTH)
    draw(into / "board.svg", "nox -s check", board.overview(next_step(suggest(shown, catalog), catalog)))


def film_watch(project: Path) -> Text:
    """A save with a mistake, a hint, a save without it."""
    kata = Catalog(project / "katas").find("attention")
    file = kata.implementation("torch", project / "katas")
    with running(project, "watch") as terminal:
        terminal.wait_for("q quit")
        file.write_text(slip(kata, "torch", level=3), encoding="utf-8")
        terminal.wait_for("after the save")
        terminal.press("h")
        terminal.wait_for("hint 1")
        file.write_text(solution_source(kata, "torch"), encoding="utf-8")
        terminal.wait_for("after the save")
        terminal.press("q")
        terminal.wait_for_the_end()
    return Text.from_ansi(terminal.written)


def film_interview(project: Path) -> Text:
    """A first try that reaches the second level, then the solution."""
    options = ("--track=foundations", "--difficulty=1", "--framework=numpy", "--minutes=15")
    with running(project, "interview", *options) as terminal:
        terminal.wait_for("q quit")
        (file,) = (project / ".dojo" / "interviews").glob("*/*/*/*.py")
        kata = Catalog(project / "katas").find(file.parent.name)
        file.write_text(slip(kata, "numpy", level=2), encoding="utf-8")
        terminal.wait_for("after the save")
        file.write_text(solution_source(kata, "numpy"), encoding="utf-8")
        terminal.wait_for_the_end()
    return Text.from_ansi(terminal.written)


def photograph_report(picture: Path, project: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print(f"{picture.name} is left as it is: no chromium on the path")
        return
    page = project / ".dojo" / "report.html"
    subprocess.run([sys.executable, "-m", "dojo", "report"], cwd=project, check=True, capture_output=True)
    options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1040,900"]
    subprocess.run([browser, *options, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)


def solved(catalog: Catalog) -> list[Job]:
    """What the learner in the picture has solved."""
    return [Job(catalog.find(slug), "torch", SOLUTIONS) for slug in ("softmax", "dropout")]


def slipped(catalog: Catalog, folder: Path) -> Job:
    """What they are at: attention, with a mistake in it."""
    kata = catalog.find("attention")
    job = Job(kata, "torch", folder)
    job.implementation.parent.mkdir(parents=True)
    job.implementation.write_text(slip(kata, "torch", level=3), encoding="utf-8")
    return job


def slip(kata: Kata, framework: str, level: int) -> str:
    """The solution with the first known mistake that `level` refuses."""
    mistakes = (entry for entry in read_mistakes(kata) if (entry.framework, entry.level) == (framework, level))
    return apply(next(mistakes), solution_source(kata, framework), kata.slug)


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


def draw(picture: Path, title: str, *parts: RenderableType) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    for part in parts:
        console.print(part)
    console.save_svg(str(picture), title=title, code_format=svg_without_fonts())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DojoError as error:
        sys.exit(f"{error}")
