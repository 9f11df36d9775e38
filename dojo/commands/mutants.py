"""Make automatic mutants of the solutions, run the tests on each, and list those that no test refuses.

A survivor is either a gap in the tests or equivalent to the solution: read it and decide. Ctrl-C ends it early, and
keeps what has run.
"""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dojo.commands import add_proof
from dojo.commands.proving import print_proof, prove_wanted
from dojo.proof.claims import PASSES, of_mutants
from dojo.proof.proving import Proof


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_proof(parser)
    parser.add_argument("--json", metavar="FILE", help="write the figures and the survivors there too")


def run(args: argparse.Namespace) -> int:
    proof = prove_wanted(args, "mutants", [of_mutants])
    rows = figures(proof)
    for row in rows:
        for survivor in row["survivors"]:
            print(f"{row['kata']} in {row['framework']}: {survivor}")
    table = Table("kata", "framework", "refused", "made", "rate", box=None)
    for row in rows:
        counts = row["killed"], row["made"]
        table.add_row(row["kata"], row["framework"], *map(str, counts), f"{row['killed'] / row['made']:.0%}")
    Console(highlight=False).print(table)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return print_proof(proof, "tried")


def figures(proof: Proof) -> list[dict]:
    """Per kata and framework: how many mutants were made and killed, and which survived."""
    rows: dict[tuple[str, str], dict] = {}
    for claim, entry in proof.entries.items():
        key = claim.kata.slug, claim.framework
        row = rows.setdefault(key, {"kata": key[0], "framework": key[1], "made": 0, "killed": 0, "survivors": []})
        row["made"] += 1
        row["killed"] += entry.verdict != PASSES
        if entry.verdict == PASSES:
            row["survivors"].append(claim.name.partition(" ")[2])
    return list(rows.values())
