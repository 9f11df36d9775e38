"""Put a stub back as it was, and keep what you wrote.

The command says where.
"""

import argparse
import shutil
import time

from rich.console import Console

from dojo.curriculum.frameworks import frameworks_of, parse_frameworks
from dojo.curriculum.katas import Catalog, Kata
from dojo.curriculum.stubs import is_started, original_stub
from dojo.errors import DojoError
from dojo.files import ROOT, shown

KEPT = ROOT / ".dojo" / "kept"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kata", metavar="KATA", help="the kata's name")
    parser.add_argument("--framework", metavar="NAME", help="only this one; default: all that you have started")


def run(args: argparse.Namespace) -> int:
    catalog, console = Catalog(), Console(highlight=False)
    kata, wanted = catalog.find(args.kata), parse_frameworks(args.framework)
    asked = frameworks_of(kata, catalog.root, kata.frameworks, wanted)
    started = [name for name in asked if is_started(kata.implementation(name, catalog.root))]
    if not started:
        raise DojoError(f"Nothing of {kata.slug} is begun, so there is nothing to reset.")
    for framework in started:
        console.print(reset(kata, framework, catalog), soft_wrap=True)
    return 0


def reset(kata: Kata, framework: str, catalog: Catalog) -> str:
    """Put one stub back; says where the learner's version is kept."""
    path = kata.implementation(framework, catalog.root)
    stub = original_stub(path)
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}.py"
    while kept.exists():  # two resets within a second
        kept = kept.with_stem(f"{kept.stem}-again")
    shutil.copy2(path, kept)
    path.write_text(stub, encoding="utf-8")
    return f"{shown(path)} is as it was. What you wrote is kept as {shown(kept)}."
