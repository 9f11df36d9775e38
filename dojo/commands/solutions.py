"""Run every level of every kata on the reference solutions, in every framework, over all cores."""

import argparse
import os
import subprocess
import sys

from dojo.commands import add_selection
from dojo.curriculum.frameworks import parse_frameworks
from dojo.curriculum.katas import Catalog
from dojo.files import ROOT
from dojo.proof.variants import PATIENT
from dojo.running.runner import CALM
from dojo.settings import read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--require-gpu", action="store_true", help="a GPU test that finds no GPU is an error")


def run(args: argparse.Namespace) -> int:
    folders = [str(kata.folder) for kata in Catalog().select(args.katas)]
    frameworks = parse_frameworks(args.framework) or read_settings().frameworks
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--impl=solutions",
        f"--framework={','.join(frameworks)}",
        "-r",
        "fE",
        PATIENT,
    ]
    if len(folders) > 1:  # a kata's levels stay in one process, in order
        command += ["-p", "xdist", "-n", "auto", "--dist", "loadfile"]
    if args.require_gpu:
        command.append("--require-gpu")
    return subprocess.run([*command, *folders], cwd=ROOT, env=os.environ | CALM).returncode
