"""Draw the README's pictures from the program itself: the board, a failing verdict, watching, an interview, the report.

Watching and the interview are filmed: the real commands run on a terminal of their own, in a copy of the project.
The report is photographed by Chromium, where there is one.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType
from rich.text import Text

from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.mistakes import apply, read_mistakes
from dojo.errors import DojoError
from dojo.files import ROOT
from dojo.grading import KataResult, in_order
from dojo.learner.next_kata import suggest
from dojo.learner.results import not_started
from dojo.proof.variants import SOLUTIONS, job_for, solution_source
from dojo.report.board import board, next_step, tally
from dojo.report.terminal import verdict
from dojo.running.job import Job
from dojo.running.runner import Runner
from tools.project_copy import clone

FOLDER = ROOT / "docs"
WIDTH = 100
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
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "dojo"
        clone(project, None)
        subprocess.run(COMMIT, cwd=project, shell=True, check=True, capture_output=True)
        draw("watch", "nox -s watch", film_watch(project, catalog))
        draw("interview", "nox -s interview", film_interview(project, catalog))
        photograph_report(project)
    return 0


COMMIT = "git init -q && git add -A && git -c user.name=dojo -c user.email=dojo@localhost commit -qm 'as it came'"


def film_watch(project: Path, catalog: Catalog) -> Text:
    """A save with a mistake, a hint, a save without it."""
    kata = catalog.find("attention")
    file = kata.implementation("torch", project / "katas")
    wrong, right = slip(kata, "torch", level=3), solution_source(kata, "torch")
    with Film(project, "watch") as film:
        film.wait_for("watching")
        time.sleep(2)  # the watcher needs a moment to begin
        file.write_text(wrong, encoding="utf-8")
        film.wait_for("after the save")
        film.press("h")
        film.wait_for("hint 1")
        file.write_text(right, encoding="utf-8")
        film.wait_for("after the save")
        film.press("q")
    return film.text()


def film_interview(project: Path, catalog: Catalog) -> Text:
    """A first try that reaches the second level, then the solution."""
    options = ("--track=foundations", "--difficulty=1", "--framework=numpy", "--minutes=15")
    with Film(project, "interview", *options) as film:
        film.wait_for("Write in")
        film.wait_for("watching")
        (file,) = (project / ".dojo" / "interviews").glob("*/*/*/*.py")
        kata = catalog.find(file.parent.name)
        time.sleep(2)
        file.write_text(slip(kata, "numpy", level=2), encoding="utf-8")
        film.wait_for("after the save")
        file.write_text(solution_source(kata, "numpy"), encoding="utf-8")
        film.wait_for("hints")
    return film.text()


class Film:
    """A dojo command on a terminal of its own, and all that it writes there."""

    def __init__(self, project: Path, *command: str):
        import pty

        self.written, self.seen = "", 0
        self.camera, terminal = pty.openpty()
        environment = os.environ | {"COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
        arguments = [sys.executable, "-m", "dojo", *command]
        self.process = subprocess.Popen(
            arguments, cwd=project, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *_) -> None:
        while self._read():
            pass
        self.process.wait()
        os.close(self.camera)

    def _read(self) -> str:
        try:
            text = os.read(self.camera, 4096).decode(errors="replace")
        except OSError:  # the other end is closed
            return ""
        self.written += text
        return text

    def wait_for(self, text: str) -> None:
        """Go on filming until `text` comes, again if it came before."""
        while text not in self.written[self.seen :]:
            if not self._read():
                raise DojoError(f"the command ended before it said {text!r}:\n{self.written[self.seen :]}")
        self.seen = self.written.index(text, self.seen) + len(text)

    def press(self, key: str) -> None:
        os.write(self.camera, key.encode())

    def text(self) -> Text:
        return Text.from_ansi(self.written.replace("\r\n", "\n"))


def photograph_report(project: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print("docs/report.png is left as it is: no chromium on the path")
        return
    page = project / ".dojo" / "report.html"
    subprocess.run([sys.executable, "-m", "dojo", "report"], cwd=project, check=True, capture_output=True)
    options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1040,900"]
    picture = f"--screenshot={FOLDER / 'report.png'}"
    subprocess.run([browser, *options, picture, page.as_uri()], check=True, capture_output=True)


def solved(catalog: Catalog) -> list[Job]:
    """What the learner in the picture has solved."""
    return [Job(catalog.find(slug), "torch", SOLUTIONS) for slug in ("softmax", "dropout")]


def slipped(catalog: Catalog, folder: Path) -> Job:
    """What they are at: attention, with a mistake in it."""
    kata = catalog.find("attention")
    return job_for(kata, "torch", slip(kata, "torch", level=3), folder, "a slip")


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


def draw(name: str, title: str, *parts: RenderableType) -> None:
    """Write docs/<name>.svg."""
    FOLDER.mkdir(exist_ok=True)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)
    for part in parts:
        console.print(part)
    console.save_svg(str(FOLDER / f"{name}.svg"), title=title, code_format=_FORMAT)
