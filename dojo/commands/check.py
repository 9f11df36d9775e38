"""Grade what has been written, each kata in a process of its own, and show the board."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.progress import track

from dojo.commands import add_selection
from dojo.curriculum.frameworks import frameworks_of, parse_frameworks
from dojo.curriculum.katas import Catalog, find_tree
from dojo.files import ROOT
from dojo.grading import State, exit_status, in_order, to_json
from dojo.learner.next_kata import suggest
from dojo.learner.progress import Progress, Store, keys_of, recall, remember
from dojo.learner.results import plan
from dojo.report.board import board, next_step, tally
from dojo.report.junit import write_junit
from dojo.report.terminal import verdict
from dojo.running.runner import run_all
from dojo.settings import read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument(
        "--impl", default="katas", metavar="TREE", help="katas, solutions or a folder that mirrors katas/"
    )
    parser.add_argument("--report", metavar="FILE", help="write the results as JSON")
    parser.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML")
    parser.add_argument("--again", action="store_true", help="run what is unchanged, too")
    parser.add_argument("--all-levels", action="store_true", help="do not lock the levels after the first that fails")


def run(args: argparse.Namespace) -> int:
    catalog, settings, console = Catalog(), read_settings(), Console(highlight=False)
    store = Store()
    tree, wanted = find_tree(args.impl, ROOT, Path.cwd()), parse_frameworks(args.framework)
    katas = catalog.select(args.katas)
    every = wanted or settings.frameworks
    pairs = [
        (kata, framework)
        for kata in katas
        for framework in frameworks_of(kata, tree, settings.frameworks, wanted or (None if args.katas else every))
    ]
    jobs, results = plan(pairs, tree, ("--all-levels",) if args.all_levels else ())
    mine = tree == catalog.root and not args.all_levels  # only the learner's own plain runs are remembered
    progress = store.read() if mine else Progress()
    if progress.notice:
        console.print(progress.notice, style="yellow")
    keys = keys_of(jobs) if mine else {}
    if mine and not args.again:
        jobs, recalled = recall(jobs, progress, keys)
        results += recalled
    if jobs:
        fresh = list(track(run_all(jobs), "checking", len(jobs), console=console, transient=True))
        results += fresh
        if mine:
            remember(fresh, store, keys)
    results = in_order(results, catalog)
    if args.report:
        Path(args.report).write_text(json.dumps(to_json(results), indent=1) + "\n", encoding="utf-8")
    if args.junit:
        write_junit(Path(args.junit), results)
    for result in results:
        if args.katas or result.state in (State.FAILED, State.ERROR):
            console.print(verdict(result))
        if progress.reopened(result):
            console.print(f"{result.slug} in {result.framework} passed before, and does not now.", style="yellow")
    if not args.katas:
        console.print(board(results, catalog, set(progress.given_up)))
        console.print(tally(results))
        console.print(next_step(suggest(results, catalog), catalog))
    return exit_status(results)
