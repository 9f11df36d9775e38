"""One module per verb of the command line: `add_arguments(parser)` and `run(args)`, which returns the exit status."""

import argparse

from dojo.curriculum.frameworks import frameworks_of, parse_frameworks
from dojo.curriculum.katas import Catalog, Kata
from dojo.settings import read_settings


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The arguments that every verb about katas takes."""
    parser.add_argument("katas", nargs="*", metavar="KATA", help="names of katas; default: all")
    parser.add_argument("--framework", metavar="NAME", help="numpy, torch, tensorflow or all; several with commas")


def add_proof(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verbs that prove something and keep it in the ledger."""
    add_selection(parser)
    parser.add_argument("--all", action="store_true", help="believe nothing that was proven before")
    parser.add_argument("--shard", metavar="K/N", help="the K-th of N parts: for several machines")


def selected(args: argparse.Namespace) -> list[tuple[Kata, str]]:
    """Every (kata, framework) that the arguments select, among the frameworks that dojo.toml enables."""
    catalog = Catalog()
    enabled = read_settings().frameworks
    wanted = parse_frameworks(args.framework) or enabled
    return [
        (kata, framework)
        for kata in catalog.select(args.katas)
        for framework in frameworks_of(kata, catalog.root, enabled, wanted)
    ]
