"""Prove that the tests refuse every mistake of mistakes.toml, and first at the level that it names.

Also hands in each mistake as if a learner had written it, and says how many of them the diagnosis names as themselves:
over all katas, 95 in 100 at least, and none as another only. What is proven is kept in proofs/.
"""

import argparse

from dojo.commands import add_proof
from dojo.commands.proving import print_proof, prove_wanted
from dojo.proof.claims import of_mistakes

NAMED = 0.95  # the share of all mistakes that the diagnosis must name

add_arguments = add_proof


def run(args: argparse.Namespace) -> int:
    proof = prove_wanted(args, "mistakes", [of_mistakes])
    status = print_proof(proof, "refused at its level")
    named = sum(bool(entry.named) for entry in proof.entries.values())
    print(f"The diagnosis names {named} of {len(proof.entries)}.")
    if not (args.katas or args.shard) and named < NAMED * len(proof.entries):
        print(f"✗ Of all mistakes the diagnosis should name {NAMED:.0%} at least.")
        return 1
    return status
