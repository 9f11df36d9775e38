"""Where the repository lies, how a path is shown, and TOML files read into dataclasses."""

import tomllib
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dojo.errors import DojoError, did_you_mean

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = ROOT / "solutions"


def shown(path: Path) -> str:
    """A path as people read it: relative to the repository where it lies inside."""
    path = Path(path)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


_hints = cache(get_type_hints)


def read_toml(path: Path, only_head: bool = False) -> dict[str, Any]:
    """The file's content, or what stands before its first table. A file that is missing or not TOML is a DojoError."""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text.partition("\n[")[0] if only_head else text)
    except FileNotFoundError:
        raise DojoError(f"{shown(path)} is missing. Restore it, for example with git checkout.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DojoError(f"{shown(path)} is not valid TOML: {error}. Correct that line.") from None


def read_table(kind: type, table: dict[str, Any], where: str) -> Any:
    """A table of TOML as the dataclass `kind`. A field without a default must be there; no other key may be.

    `where` says in a message which table is meant: a path, or a path and an entry of it.
    """
    hints, known = _hints(kind), {field.name: field for field in fields(kind)}
    for name, field in known.items():
        if name not in table and field.default is MISSING and field.default_factory is MISSING:
            raise DojoError(f"{where} needs the key {name!r} of type {_words(hints[name])}. Add it.")
    for name, value in table.items():
        if name not in known:
            raise DojoError(f"{where} has an unknown key {name!r}.{did_you_mean(name, known)} Remove or rename it.")
        if not _fits(value, hints[name]):
            found = type(value).__name__
            raise DojoError(f"{where}: {name!r} must be of type {_words(hints[name])}, not {found}. Correct it.")
    return kind(**{name: tuple(v) if get_origin(hints[name]) is tuple else v for name, v in table.items()})


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value that TOML gave is of the type; `tuple[str, ...]` asks for a list of strings."""
    if isinstance(hint, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    origin, inner = get_origin(hint), get_args(hint)
    if origin is tuple:
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _words(hint: Any) -> str:
    """A type as a reader of TOML knows it."""
    if get_origin(hint) is tuple:
        return f"list of {_words(get_args(hint)[0])}"
    named = {float: "number"}.get(hint, "") or getattr(hint, "__name__", str(hint))
    return "dict" if get_origin(hint) is dict else named
