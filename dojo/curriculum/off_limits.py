"""What a kata forbids, found in a file without running it."""

import ast
from collections.abc import Sequence
from pathlib import Path

from dojo.curriculum.stubs import read_source
from dojo.errors import DojoError


def forbidden_uses(path: Path, off_limits: Sequence[str]) -> list[tuple[int, str]]:
    """(line, name) of each use of a dotted name that is off limits; nothing for a file that does not parse.

    `import a.b as c`, `from a import b` and chains of attributes are resolved. An entry `torch.Tensor.name`
    (or `numpy.ndarray.name`) also forbids the method on any value: `x.name(…)`.
    """
    try:
        tree = ast.parse(read_source(path))
    except (SyntaxError, ValueError):
        return []
    aliases = _imported_names(tree)
    methods = {name.rsplit(".", 1)[1]: name for name in off_limits if ".Tensor." in name or ".ndarray." in name}
    found = {}
    for node in ast.walk(tree):
        for name in _names_used(node, aliases):
            for entry in off_limits:
                if _canonical(name) == _canonical(entry):
                    found.setdefault((node.lineno, entry))
        if (method := _method_called(node, aliases)) in methods:
            found.setdefault((node.lineno, methods[method]))
    return sorted(found)


def refuse_forbidden(path: Path, off_limits: Sequence[str]) -> None:
    """A DojoError that names the first use of something off limits, if there is one."""
    for line, name in forbidden_uses(path, off_limits)[:1]:
        raise DojoError(f"{name} is off limits in this kata: write it yourself ({path.name}, line {line}).")


def _method_called(node: ast.AST, aliases: dict[str, str]) -> str:
    """'name' for a call `x.name(…)` on a value, '' for anything else."""
    is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return node.func.attr if is_method and _dotted(node.func.value, aliases) is None else ""


def _canonical(name: str) -> str:
    """One spelling for the places where a framework offers the same thing twice."""
    for prefix, short in (("tensorflow.keras.", "keras."), ("tensorflow.", "tf."), ("numpy.", "np.")):
        if name.startswith(prefix):
            return short + name.removeprefix(prefix)
    return name


def _imported_names(tree: ast.AST) -> dict[str, str]:
    """Local name to the dotted name that an import bound to it."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                local = item.asname or item.name.split(".")[0]
                aliases[local] = item.name if item.asname else local
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for item in node.names:
                aliases[item.asname or item.name] = f"{node.module}.{item.name}"
    return aliases


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str | None:
    """The dotted name behind `a.b.c` where `a` was imported; otherwise None."""
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, aliases)
        return f"{base}.{node.attr}" if base else None
    return None


def _names_used(node: ast.AST, aliases: dict[str, str]) -> list[str]:
    """The imported names that this very node uses."""
    if isinstance(node, ast.Attribute | ast.Name):
        name = _dotted(node, aliases)
        return [name] if name else []
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [f"{node.module}.{item.name}" for item in node.names]
    return []
