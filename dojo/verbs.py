"""The verbs of the command line, and the sentence that says what each is for.

The sentence is the first line of the verb's module, and stands nowhere else. noxfile.py runs this file by its path,
where no package is installed: it imports only the standard library, and no other part of dojo.
"""

import ast
from pathlib import Path

VERBS = (
    "check",
    "watch",
    "next",
    "hint",
    "show",
    "reset",
    "interview",
    "report",
    "solutions",
    "mistakes",
    "mutants",
    "new",
)


def sentence(verb: str) -> str:
    """What the verb is for."""
    return first_line(Path(__file__).parent / "commands" / f"{verb}.py")


def first_line(module: Path) -> str:
    """The first line of a module's docstring, read without importing it."""
    return ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))).splitlines()[0]
