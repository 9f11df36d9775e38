"""Automatic mutants: small wrong changes of a solution, one at a time, that its tests ought to refuse.

Left alone are docstrings, annotations, imports, and what only forms an error's message: no test should demand those.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_PAIRS = [
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.BitAnd, ast.BitOr),
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.Is, ast.IsNot),
    (ast.In, ast.NotIn),
    (ast.And, ast.Or),
]
_OTHERS = {ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult}
_SWAPS = dict(_PAIRS) | {second: first for first, second in _PAIRS} | _OTHERS


@dataclass(frozen=True)
class Mutant:
    line: int
    change: str
    source: str


def mutants_of(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    original = ast.unparse(tree)
    seen = {original}
    for path in sorted(_places(tree), key=lambda path: getattr(_at(tree, path), "lineno", 0)):
        for change, replacement in _changes(_at(tree, path)):
            mutated = ast.fix_missing_locations(_replaced(tree, path, replacement))
            text = ast.unparse(mutated)
            if text not in seen:
                seen.add(text)
                yield Mutant(getattr(_at(tree, path), "lineno", 0), change, text)


# A path is a tuple of (field, index or None) from the module down to a node.


def _places(node: ast.AST, path: tuple = ()) -> Iterator[tuple]:
    """The paths of all nodes that may be changed."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Raise):
        return
    yield path
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_comment", "bases"):
            continue
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in items:
            if isinstance(child, ast.AST) and not _is_docstring(node, name, index, child):
                yield from _places(child, (*path, (name, index)))


def _is_docstring(parent: ast.AST, name: str, index: int | None, child: ast.AST) -> bool:
    bodies = ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    is_text = (
        isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) and isinstance(child.value.value, str)
    )
    return isinstance(parent, bodies) and name == "body" and index == 0 and is_text


def _at(tree: ast.AST, path: tuple) -> ast.AST:
    for name, index in path:
        tree = getattr(tree, name) if index is None else getattr(tree, name)[index]
    return tree


def _replaced(tree: ast.AST, path: tuple, replacement: ast.AST) -> ast.AST:
    tree = copy.deepcopy(tree)
    parent = _at(tree, path[:-1])
    name, index = path[-1]
    if index is None:
        setattr(parent, name, replacement)
    else:
        getattr(parent, name)[index] = replacement
    return tree


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """(what changes, the node to put in place of this one)."""
    for kind, maker in _MAKERS:
        if isinstance(node, kind):
            for replacement in maker(copy.deepcopy(node)):
                if replacement is not None:
                    yield f"{_brief(node)}  →  {_brief(replacement)}", replacement


def _brief(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 70 else text[:67] + "…"


def _with(node: ast.AST, **fields) -> ast.AST:
    clone = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(clone, name, value)
    return clone


def _binary(node: ast.BinOp) -> Iterator[ast.AST]:
    if other := _SWAPS.get(type(node.op)):
        yield _with(node, op=other())
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
        yield node.left
    if isinstance(node.op, ast.Add | ast.Mult):
        yield node.right


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    if other := _SWAPS.get(type(node.ops[0])):
        yield _with(node, ops=[other(), *node.ops[1:]])


def _boolean(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=_SWAPS[type(node.op)]())


def _unary(node: ast.UnaryOp) -> Iterator[ast.AST]:
    yield node.operand


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        if value > 0:
            yield ast.Constant(value - 1)
    elif isinstance(value, float):
        yield ast.Constant(value * 2 if value else 1.0)


def _augmented(node: ast.AugAssign) -> Iterator[ast.AST]:
    if other := _SWAPS.get(type(node.op)):
        yield _with(node, op=other())
    yield ast.Pass()


def _statement(node: ast.stmt) -> Iterator[ast.AST]:
    yield ast.Pass()


def _return(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield ast.Return(ast.Constant(None))


def _condition(node: ast.If | ast.IfExp | ast.While) -> Iterator[ast.AST]:
    yield _with(node, test=ast.Constant(False))
    if not isinstance(node, ast.While):
        yield _with(node, test=ast.Constant(True))


def _call(node: ast.Call) -> Iterator[ast.AST]:
    """Leave out one keyword argument; swap the first two arguments of a function; pass a method's object through."""
    for index, keyword in enumerate(node.keywords):
        if keyword.arg:
            yield _with(node, keywords=node.keywords[:index] + node.keywords[index + 1 :])
    plain = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
    if len(plain) == len(node.args) == 2:
        yield _with(node, args=node.args[::-1])
    if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
        yield node.func.value


def _jump(node: ast.Break | ast.Continue) -> Iterator[ast.AST]:
    yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()


def _slice(node: ast.Slice) -> Iterator[ast.AST]:
    for bound in ("lower", "upper", "step"):
        if getattr(node, bound) is not None:
            yield _with(node, **{bound: None})


_MAKERS = [
    (ast.BinOp, _binary),
    (ast.Compare, _compare),
    (ast.BoolOp, _boolean),
    (ast.UnaryOp, _unary),
    (ast.Constant, _constant),
    (ast.AugAssign, _augmented),
    (ast.Expr, _statement),
    (ast.Return, _return),
    (ast.If | ast.IfExp | ast.While, _condition),
    (ast.Call, _call),
    (ast.Break | ast.Continue, _jump),
    (ast.Slice, _slice),
]
