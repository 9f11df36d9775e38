"""How a test called the implementation before it failed, and with what: read from its frames and its source."""

import ast
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from dojo.files import shown
from dojo.pytest_plugin.explain import chain, frames_of

_FIXTURES = {"impl", "fw", "gpu", "rng", "request", "tmp_path", "monkeypatch", "capsys"}
_SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass
class Called:
    """A call of the implementation: its source, its inputs described, and the name that was called."""

    text: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    name: str = ""


def call_of(test: Any, file: Path, error: BaseException) -> Called:
    """The last call of the implementation that the failing test made, by the frames of its file, innermost first.

    Where no frame that is still open made one, a helper or a fixture did and has returned: then the call in its text
    is told, with what the test handed to it.
    """
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return Called()
    frames = _frames(file, error)
    for frame, line in frames:
        if called := _last_call(text, _scope(tree, frame.f_code.co_firstlineno), line, frame.f_locals):
            return called
    helpers = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for frame, line in frames:
        if called := _by_helper(text, helpers, _scope(tree, frame.f_code.co_firstlineno), line, frame.f_locals):
            return called
    return _by_fixture(text, helpers, getattr(test, "__name__", ""))


def _frames(file: Path, error: BaseException) -> list[tuple[FrameType, int]]:
    """(frame, line) of the test file's frames that the error passed through, innermost first."""
    found = []
    for link in chain(error):
        found += [(tb.tb_frame, tb.tb_lineno) for tb in frames_of(link.__traceback__)][::-1]
    return [(frame, line) for frame, line in found if frame.f_code.co_filename == str(file)]


def _scope(tree: ast.Module, first: int) -> ast.AST:
    """The function whose code begins on that line; decorators count to it."""
    for node in ast.walk(tree):
        if isinstance(node, _SCOPES):
            begins = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
            if begins == first:
                return node
    return tree


def _last_call(text: str, scope: ast.AST, line: float, values: dict[str, Any]) -> Called | None:
    """The last `impl.name(…)` in the function that stands on `line` or before it."""
    calls = [node for node in ast.walk(scope) if isinstance(node, ast.Call) and _name_in_impl(node.func)]
    before = [call for call in calls if call.lineno <= line]
    if not before:
        return None
    call = max(before, key=lambda node: (node.lineno, -node.col_offset))
    source = " ".join((ast.get_source_segment(text, call) or "").split()).removeprefix("impl.")
    names = [node.id for node in ast.walk(call) if isinstance(node, ast.Name)]
    inputs = {name: describe(values[name]) for name in sorted({*names}) if name in values and name not in _FIXTURES}
    return Called(source, {name: words for name, words in inputs.items() if words}, _name_in_impl(call.func))


def _by_helper(
    text: str, helpers: dict[str, ast.FunctionDef], scope: ast.AST, line: int, values: dict[str, Any]
) -> Called | None:
    """The call that a helper of the test file made before it returned; its arguments are known where they are names."""
    calls = [
        node
        for node in ast.walk(scope)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in helpers
        if node.lineno <= line
    ]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        helper = helpers[call.func.id]
        parameters = [each.arg for each in [*helper.args.posonlyargs, *helper.args.args]]
        given = dict(zip(parameters, call.args, strict=False)) | {each.arg: each.value for each in call.keywords}
        known = {
            name: values[node.id] for name, node in given.items() if isinstance(node, ast.Name) and node.id in values
        }
        if called := _last_call(text, helper, float("inf"), known):
            return called
    return None


def _by_fixture(text: str, helpers: dict[str, ast.FunctionDef], test: str) -> Called:
    """The call that a fixture of the test file made before the test began."""
    if test in helpers:
        for argument in helpers[test].args.args:
            if argument.arg in helpers and (called := _last_call(text, helpers[argument.arg], float("inf"), {})):
                return called
    return Called()


def _name_in_impl(node: ast.AST) -> str:
    """'name' for `impl.name`, otherwise ''."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "impl":
        return node.attr
    return ""


def definition(path: Path, name: str) -> str:
    """file:line of the function or class of that name."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return shown(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return f"{shown(path)}:{node.lineno}"
    return shown(path)


def describe(value: Any) -> str:
    """An input in a few words: small ones whole, larger ones by shape and dtype; '' for what no reader needs."""
    if isinstance(value, bool | int | float | str) or value is None:
        return repr(value) if len(repr(value)) <= 80 else f"a string of {len(value)} characters"
    if isinstance(value, list | tuple):
        inner = [_described_inside(item) for item in value[:4]]
        dots = [f"… {len(value)} in all"] if len(value) > 4 else []
        return "[" + ", ".join(inner + dots) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_described_inside(item)}" for key, item in list(value.items())[:6]) + "}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _describe_array(value)
    return ""


def _described_inside(item: Any) -> str:
    """An input's entry: one that takes many words is named by its type, since a gap would puzzle more."""
    return describe(item) or f"<{type(item).__name__}>"


def _describe_array(value: Any) -> str:
    shape, dtype = (
        tuple(value.shape),
        str(value.dtype).removeprefix("torch.").removeprefix("<dtype: '").removesuffix("'>"),
    )
    if isinstance(value, np.ndarray) and value.size <= 12:
        return " ".join(np.array2string(value, precision=4, separator=", ").split())
    return f"{dtype} of shape {shape}"
