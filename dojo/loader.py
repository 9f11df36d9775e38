"""Loading an implementation from the tree under test, and reading it without running it."""

import ast
import sys
import tokenize
from pathlib import Path
from types import ModuleType

from dojo.catalog import shown
from dojo.errors import DojoError, did_you_mean


def load(path: Path) -> ModuleType:
    """Run the file as a module of its own.

    The file is compiled from its source every time: two saves of equal size within a second would otherwise
    run the bytecode of the first. The module is known to `sys.modules` under the file's stem, so that worker
    processes can import by that name what they are sent.
    """
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    sys.modules[path.stem] = module
    exec(compile(_source(path), str(path), "exec"), module.__dict__)
    return module


def _source(path: Path) -> str:
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
        return not is_stub_text(_source(path))
    except DojoError:
        return False
    except (SyntaxError, ValueError):  # no text in the encoding that it declares
        return True


def is_stub_text(source: str) -> bool:
    """Whether every function of a module still raises NotImplementedError."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return bool(functions) and all(map(_is_stub, functions))


def _is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Nothing but a docstring and `raise NotImplementedError(…)`."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if len(body) != 1 or not isinstance(body[0], ast.Raise):
        return False
    raised = body[0].exc.func if isinstance(body[0].exc, ast.Call) else body[0].exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def forbidden_uses(path: Path, off_limits: list[str]) -> list[tuple[int, str]]:
    """(line, name) of each use of a dotted name that is off limits; nothing for a file that does not parse.

    `import a.b as c`, `from a import b` and chains of attributes are resolved. An entry `torch.Tensor.name`
    (or `numpy.ndarray.name`) also forbids the method on any value: `x.name(…)`.
    """
    try:
        tree = ast.parse(_source(path))
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


def refuse_forbidden(path: Path, off_limits: list[str]) -> None:
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


def missing_name(module: ModuleType, name: str) -> str:
    """What to say where the test asks an implementation for a name that it does not have."""
    own = [key for key in vars(module) if not key.startswith("_")]
    return f"{Path(module.__file__).name} defines no {name!r}.{did_you_mean(name, own)}"
