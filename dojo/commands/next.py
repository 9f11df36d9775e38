"""Say which kata to do next, and why."""

import argparse

from rich.console import Console
from rich.text import Text

from dojo.curriculum.katas import Catalog
from dojo.learner.next_kata import reason_for, suggest
from dojo.learner.progress import Store
from dojo.learner.results import results_without_running
from dojo.report.board import next_step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    catalog, console = Catalog(), Console(highlight=False)
    progress = Store().read()
    results = results_without_running(catalog, progress)
    chosen = suggest(results, catalog)
    console.print(next_step(chosen, catalog))
    if chosen:
        console.print(Text(reason_for(chosen, results, catalog), style="dim"))
    return 0
