"""Check each kata when you save it, at once.

It runs in a process that has already imported its framework. Keys: h a hint, n what to do next, r run again, d how
your code differs from the solution (once the kata is solved), q quit.
"""

import argparse
import difflib

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from dojo.commands import next as next_verb
from dojo.commands.hint import show_hint
from dojo.curriculum.katas import Catalog
from dojo.errors import DojoError
from dojo.files import SOLUTIONS
from dojo.grading import KataResult
from dojo.learner.progress import Store, remember
from dojo.learner.results import mine
from dojo.learner.session import KeyAction, Run, WatchSession
from dojo.report.terminal import verdict
from dojo.running.job import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("katas", nargs="*", metavar="KATA", help="watch only these, and check them at once")
    parser.add_argument("--once", action="store_true", help="end after the first verdict")


def run(args: argparse.Namespace) -> int:
    catalog, store, console = Catalog(), Store(), Console(highlight=False)

    def on_verdict(run: Run, result: KataResult) -> None:
        show_verdict(console, run, result)
        remember([result], store, run.keys)
        if args.once:
            session.stop()

    keys = {
        "h": KeyAction("hint", lambda: show_hint(session.last.kata, catalog, store, console)),
        "n": KeyAction("next", lambda: next_verb.run(argparse.Namespace())),
        "r": KeyAction("run again", lambda: session.again()),
        "d": KeyAction("diff", lambda: console.print(difference(session.last, store))),
    }
    katas = catalog.select(args.katas)
    session = WatchSession(catalog.root, katas, console, on_verdict, keys)
    session.run(at_once=[(kata, name) for kata in katas for name in mine(kata, catalog.root)] if args.katas else [])
    return 0


def show_verdict(console: Console, run: Run, result: KataResult) -> None:
    """The verdict, how long it took, and what comes next."""
    console.print(verdict(result))
    console.print(Text(f"{run.seconds:.2f} s after the save. {what_next(result)}", style="dim"))


def what_next(result: KataResult) -> str:
    """The level to write next, in a sentence."""
    level = result.first_open
    if level is None:
        return "Every level passes." if result.solved else ""
    return f"{'Solved. Beyond' if level.beyond else 'Next'}: level {level.number}, {level.title}."


def difference(job: Job, store: Store) -> Syntax:
    """How the code differs from the solution; a DojoError before it is solved."""
    result = store.read().last_result(job.kata.slug, job.framework)
    if result is None or not result.solved:
        raise DojoError("The solution is shown once the kata is solved.")
    written, reference = (
        path.read_text(encoding="utf-8").splitlines()
        for path in (job.implementation, job.kata.implementation(job.framework, SOLUTIONS))
    )
    return Syntax("\n".join(difflib.unified_diff(written, reference, "yours", "the solution", lineterm="")), "diff")
