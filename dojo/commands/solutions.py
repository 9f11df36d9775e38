"""Prove that every reference solution passes every level, and every right solution in another style too.

What is proven is kept in proofs/. `--require-gpu` runs everything: what was proven without a GPU says nothing of it.
"""

import argparse

from dojo.commands import add_proof
from dojo.commands.proving import print_proof, prove_wanted
from dojo.proof.claims import of_solution, of_styles


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_proof(parser)
    parser.add_argument("--require-gpu", action="store_true", help="a GPU test that finds no GPU is an error")


def run(args: argparse.Namespace) -> int:
    args.all = args.all or args.require_gpu
    options = ("--require-gpu",) if args.require_gpu else ()
    return print_proof(prove_wanted(args, "solutions", [of_solution, of_styles], options), "accepted")
