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
from dojo.proof.claims import PASSES, Claim, of_mutants
from dojo.proof.ledger import Entry
from dojo.proof.proving import Proof


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_proof(parser)
    parser.add_argument("--json", metavar="FILE", help="write the figures and the survivors there too")


def run(args: argparse.Namespace) -> int:
    proof = prove_wanted(args, "mutants", [of_mutants], tell=print_survivor)
    for claim in proof.believed:
        print_survivor(claim, proof.entries[claim])
    rows = figures(proof)
    table = Table("kata", "framework", "killed", "ran", "made", "rate", box=None)
    for row in rows:
        rate = f"{row['killed'] / row['ran']:.0%}" if row["ran"] else "–"
        table.add_row(row["kata"], row["framework"], *(str(row[key]) for key in ("killed", "ran", "made")), rate)
    Console(highlight=False).print(table)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return print_proof(proof, "tried")


def print_survivor(claim: Claim, entry: Entry) -> None:
    if entry.verdict == PASSES:
        print(f"{claim.kata.slug} in {claim.framework} {described(claim)}", flush=True)


def described(claim: Claim) -> str:
    """'line 3: x + 1  →  x - 1': the name of a mutant's claim without its hash."""
    return claim.name.partition(" ")[2]


def figures(proof: Proof) -> list[dict]:
    """Per kata and framework: how many mutants were made, how many are known and killed, and which survived."""
    rows: dict[tuple[str, str], dict] = {}
    for claim in (*proof.entries, *proof.left):
        key, entry = (claim.kata.slug, claim.framework), proof.entries.get(claim)
        empty = {"kata": key[0], "framework": key[1], "made": 0, "ran": 0, "killed": 0, "survivors": []}
        row = rows.setdefault(key, empty)
        row["made"] += 1
        row["ran"] += entry is not None
        row["killed"] += entry is not None and entry.verdict != PASSES
        if entry is not None and entry.verdict == PASSES:
            line, _, change = described(claim).removeprefix("line ").partition(": ")
            row["survivors"].append({"line": int(line), "change": change})
    return list(rows.values())
