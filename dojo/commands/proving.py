"""What the verbs that prove something share: the claims that the arguments ask for, a progress bar, the account."""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console
from rich.progress import track

from dojo.commands import selected
from dojo.errors import DojoError
from dojo.proof.claims import Claim, Maker, claims_of
from dojo.proof.ledger import Ledger, commit
from dojo.proof.proving import Proof, prove


def prove_wanted(
    args: argparse.Namespace, name: str, makers: list[Maker], options: tuple[str, ...] = (), **tell: Callable
) -> Proof:
    """Prove what these makers claim of the katas, frameworks and shard that the arguments select."""
    console, ledger = Console(highlight=False), Ledger()
    claims = claims_of(makers, selected(args))
    if options:
        claims = [replace(claim, options=(*claim.options, *options)) for claim in claims]
    ledger.forget_all_but(claims)
    started = time.perf_counter()
    proof = prove(
        in_shard(claims, args.shard),
        ledger,
        seed=commit(),
        everything=args.all,
        follow=lambda results, total: track(results, name, total, console=console, transient=True),
        **tell,
    )
    proof.seconds = time.perf_counter() - started
    return proof


def in_shard(claims: list[Claim], shard: str | None) -> list[Claim]:
    """Every n-th claim, for `--shard k/n`; all of them where no shard is asked for."""
    if not shard:
        return claims
    number, _, count = shard.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise DojoError(f"--shard={shard}: give a part of the whole, such as 2/8 for the second of eight.")
    return claims[int(number) - 1 :: int(count)]


def print_proof(proof: Proof, done: str) -> int:
    """What was run and believed, and what does not hold; the exit status."""
    for complaint in proof.complaints:
        print(f"✗ {complaint}", file=sys.stdout)
    held, failed = len(proof.entries) - len(proof.complaints), len(proof.complaints)
    print(f"Of {len(proof.entries)} claims {len(proof.ran)} ran, {len(proof.believed)} were believed: {held} {done}.")
    print(f"{held} passed, {failed} failed")
    if proof.left:
        print(f"Ended early: {len(proof.left)} claims did not run.")
        return 130
    return 1 if failed or not proof.entries else 0
