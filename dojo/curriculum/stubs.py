"""Stubs: whether anything is written in one, and how it was before."""

import ast
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

from dojo.errors import DojoError
from dojo.files import ROOT, shown


def read_source(path: Path) -> str:
    """The file's text in the encoding that it declares."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except FileNotFoundError:
        raise DojoError(f"{shown(path)} is missing. Restore it, for example with git checkout.") from None


def is_started(path: Path) -> bool:
    """Whether any function of the stub has been written; found without importing it.

    A file that does not parse has been started: somebody is writing in it.
    """
    try:
        return not is_stub_text(read_source(path))
    except DojoError:
        return False
    except (SyntaxError, ValueError):  # no text in the encoding that it declares
        return True


# A function of a stub without its docstring, and what stands around the functions.
_FUNCTION = re.compile(
    r"^[ \t]*def \w+\((?:[^()]|\([^()]*\))*\)[^:\n]*:\s*raise NotImplementedError(?:\([^()\n]*\))?\n", re.MULTILINE
)
_AROUND = re.compile(r"(?:[ \t]*\n|(?:from [\w.]+ )?import [\w.]+(?: as \w+|, \w+)*\n|class \w+(?:\([\w., ]*\))?:\n)*")


def is_stub_text(source: str) -> bool:
    """Whether every function of a module still raises NotImplementedError."""
    if "NotImplementedError" not in source:  # spares the parsing of all that is written
        return False
    rest, functions = _FUNCTION.subn("", "".join(source.split('"""')[::2]))
    if functions and _AROUND.fullmatch(rest):  # spares the parsing of nearly every stub; a wrong one is left over
        return True
    try:
        functions = list(_outer_functions(ast.parse(source)))
    except (SyntaxError, ValueError):
        return False
    return bool(functions) and all(map(_is_stub, functions))


def _outer_functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions and methods that lie in no other one: a stub holds no function, so the others tell nothing."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _outer_functions(child)


def _is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Nothing but a docstring and `raise NotImplementedError(…)`."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if len(body) != 1 or not isinstance(body[0], ast.Raise):
        return False
    raised = body[0].exc.func if isinstance(body[0].exc, ast.Call) else body[0].exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def original_stub(path: Path) -> str:
    """The stub as it came: the newest version in git's history in which nothing is written yet."""
    for commit in _git("log", "--format=%H", "--", shown(path)).split():
        text = _git("show", f"{commit}:{shown(path)}")
        if is_stub_text(text):
            return text
    raise DojoError(
        f"git knows no version of {shown(path)} in which nothing is written. Get the file from a fresh clone."
    )


def _git(*args: str) -> str:
    try:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        raise DojoError("git is not installed, and the stubs come from its history. Install git.") from None
    if done.returncode:
        raise DojoError(f"git {args[0]} failed: {done.stderr.strip() or 'no reason given'}")
    return done.stdout
