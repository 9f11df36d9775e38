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
from dojo.learner.progress import Progress, Store
from dojo.learner.results import results_without_running
from dojo.report.junit import write_junit
from dojo.report.page import Record, write_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = ROOT / ".dojo" / "report.html"
    parser.add_argument("--html", type=Path, default=default, metavar="FILE", help="default: .dojo/report.html")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write JSON, as docs/results.md describes it")


def run(args: argparse.Namespace) -> int:
    catalog, progress = Catalog(), Store().read()
    results = in_order(results_without_running(catalog, progress), catalog)
    write_page(args.html, results, catalog, record_of(progress))
    if args.junit:
        write_junit(args.junit, results)
    if args.report:
        args.report.write_text(json.dumps(to_json(results), indent=1) + "\n", encoding="utf-8")
    Console(highlight=False).print(f"written: {args.html}", soft_wrap=True)
    return 0


def record_of(progress: Progress) -> Record:
    """What the page tells of the learner beside the results."""
    seconds: dict[str, float] = {}
    for name, entry in progress.entries.items():
        slug = name.split("/")[0]
        seconds[slug] = seconds.get(slug, 0) + entry.seconds
    hints = {slug: sum(levels.values()) for slug, levels in progress.hints.items()}
    return Record(seconds, hints, frozenset(progress.given_up), points_by_day(progress), progress.interviews)


def points_by_day(progress: Progress) -> list[tuple[str, int]]:
    """(day, points held at its end), for every day on which some score changed."""
    changes = sorted(
        (change["at"], name, change["score"]) for name, entry in progress.entries.items() for change in entry.history
    )
    held: dict[str, int] = {}
    days: dict[str, int] = {}
    for at, name, score in changes:
        held[name] = score
        days[at[:10]] = sum(held.values())
    return list(days.items())
