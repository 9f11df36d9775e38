"""Write your progress as one HTML page that needs no network; also as JUnit XML or JSON for other programs.

What is not up to date is shown as it was after its last run: run check first to be sure.
"""

import argparse
import json
from pathlib import Path

from rich.console import Console

from dojo.curriculum.katas import Catalog
from dojo.files import ROOT
from dojo.grading import in_order, to_json
from dojo.learner.progress import Store
from dojo.learner.results import results_without_running
from dojo.report.junit import write_junit
from dojo.report.page import write_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = ROOT / ".dojo" / "report.html"
    parser.add_argument("--html", type=Path, default=default, metavar="FILE", help="default: .dojo/report.html")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write JSON, as docs/results.md describes it")


def run(args: argparse.Namespace) -> int:
    catalog, progress = Catalog(), Store().read()
    results = in_order(results_without_running(catalog, progress), catalog)
    write_page(args.html, results, catalog, progress)
    if args.junit:
        write_junit(args.junit, results)
    if args.report:
        args.report.write_text(json.dumps(to_json(results), indent=1) + "\n", encoding="utf-8")
    Console(highlight=False).print(f"written: {args.html}", soft_wrap=True)
    return 0
