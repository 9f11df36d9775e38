"""Grade what has been written, each kata in a process of its own, and show the board."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from dojo.commands import add_selection
from dojo.curriculum.frameworks import frameworks_of, parse_frameworks
from dojo.curriculum.katas import Catalog, find_tree
from dojo.errors import DojoError
from dojo.files import ROOT
from dojo.grading import KataResult, State, exit_status, in_order, to_json
from dojo.learner.next_kata import suggest
from dojo.learner.progress import Progress, Store, keys_of, recall, remember
from dojo.learner.results import plan
from dojo.report.board import Board, next_step
from dojo.report.junit import write_junit
from dojo.report.terminal import verdict
from dojo.running.job import Job
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
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--board", metavar="TRACK", help="show each kata of this track; the start of its name will do")
    shown.add_argument("--all", action="store_true", help="show each kata of every track")


def run(args: argparse.Namespace) -> int:
    catalog, settings, console = Catalog(), read_settings(), Console(highlight=False)
    track = find_track(args.board, catalog) if args.board else ""
    store, tree = Store(), find_tree(args.impl, ROOT, Path.cwd())
    wanted = parse_frameworks(args.framework) or (None if args.katas else settings.frameworks)
    pairs = [
        (kata, framework)
        for kata in catalog.select(args.katas)
        for framework in frameworks_of(kata, tree, settings.frameworks, wanted)
    ]
    mine = tree == catalog.root and not args.all_levels  # only the learner's own plain runs are remembered
    progress = store.read() if mine else Progress()
    if progress.notice:
        console.print(progress.notice, style="yellow")
    jobs, results = plan(pairs, tree, ("--all-levels",) if args.all_levels else ())
    keys = keys_of(jobs) if mine else {}
    if mine and not args.again:
        jobs, recalled = recall(jobs, progress, keys)
        results += recalled
    if jobs:
        fresh = _run(jobs, console)
        results += fresh
        if mine:
            remember(fresh, store, keys)
    results = in_order(results, catalog)
    if args.report:
        Path(args.report).write_text(json.dumps(to_json(results), indent=1) + "\n", encoding="utf-8")
    if args.junit:
        write_junit(Path(args.junit), results)
    for result in results:
        if args.katas or (result.state in (State.FAILED, State.ERROR) and track in ("", result.track)):
            console.print(verdict(result))
        if progress.reopened(result):
            console.print(f"{result.slug} in {result.framework} passed before, and does not now.", style="yellow")
    if track or args.all or not args.katas:
        board = Board(results, catalog, settings.frameworks, progress.given_up, console.width)
        step = next_step(suggest(results, catalog), catalog)
        console.print(board.of_track(track) if track else board.of_all() if args.all else board.overview(step))
    return exit_status(results)


def _run(jobs: list[Job], console: Console) -> list[KataResult]:
    # Only a check that runs something pays for these imports: the board alone comes at once.
    from rich.progress import track

    from dojo.running.runner import run_all

    return list(track(run_all(jobs), "checking", len(jobs), console=console, transient=True))


def find_track(text: str, catalog: Catalog) -> str:
    """The track of that name, or the only one whose name or title begins so."""
    if text in catalog.tracks:
        return text
    low = text.lower()
    near = [name for name, title in catalog.tracks.items() if name.startswith(low) or title.lower().startswith(low)]
    if len(near) == 1:
        return near[0]
    problem = f"{text!r} may be {' or '.join(near)}" if near else f"There is no track {text!r}"
    raise DojoError(f"{problem}: give one of {', '.join(catalog.tracks)}.")
