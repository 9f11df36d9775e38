"""Say which kata to do next, and why."""

import argparse

from rich.console import Console
from rich.text import Text

from dojo.catalog import Catalog
from dojo.checking import in_order, reason_for, suggest
from dojo.progress import Store
from dojo.report.board import next_step
from dojo.standing import results_without_running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    catalog, console = Catalog(), Console(highlight=False)
    progress = Store().read()
    results = in_order(results_without_running(catalog, progress), catalog)
    chosen = suggest(results, catalog)
    console.print(next_step(chosen, catalog))
    if chosen:
        console.print(Text(reason_for(chosen, results, catalog), style="dim"))
    return 0
