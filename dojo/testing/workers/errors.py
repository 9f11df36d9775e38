"""An error on its way from a worker process to the test: its kind, its words, and the lines that it passed through."""

import builtins
import inspect
import pickle
import traceback
from dataclasses import dataclass
from functools import cache
from types import ModuleType, TracebackType


@dataclass(frozen=True)
class Packed:
    """An error as plain data."""

    pickled: bytes  # b"" where it cannot be pickled; then its kind, its nearest built-in kind and its words serve
    kind: str
    base: str
    text: str
    missing: str  # the name that the implementation does not define, where that is the error
    lines: list[tuple[str, int, str, int]]  # of its traceback: file, line, function, the function's first line


def pack(error: BaseException, module: ModuleType | None) -> Packed:
    """The error as data; `module` is the implementation under test."""
    base = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    codes = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [(code.co_filename, line, code.co_name, code.co_firstlineno) for code, line in codes]
    asks_module = isinstance(error, AttributeError) and module is not None and error.obj is module
    missing = error.name if asks_module else ""
    return Packed(_pickled(error), type(error).__name__, base.__name__, str(error), missing, lines)


def unpack(packed: Packed, module: ModuleType, before: str, after: str = "") -> BaseException:
    """The error again, as if it had been raised in this process; `around` gives what to say before it and after it."""
    if packed.missing:
        error = AttributeError(packed.text, name=packed.missing, obj=module)
    else:
        error = _unpickled(packed.pickled) or _stand_in(packed.kind, packed.base)(packed.text)
    error.around_in_words = (before, after)
    return error.with_traceback(_through(packed.lines))


def around(error: BaseException) -> tuple[str, str]:
    """What to say before an error's own words, and after them: ("worker 1 of 2: ", "")."""
    return getattr(error, "around_in_words", ("", ""))


def _pickled(error: BaseException) -> bytes:
    """What gives an error of the same words when it is unpickled; b"" where nothing does."""
    try:
        data = pickle.dumps(error)
    except Exception:
        return b""
    again = _unpickled(data)
    return data if type(again) is type(error) and str(again) == str(error) else b""


def _unpickled(data: bytes) -> BaseException | None:
    try:
        return pickle.loads(data) if data else None
    except Exception:  # an error's constructor may ask for more than it keeps
        return None


@cache
def _stand_in(kind: str, base: str) -> type[BaseException]:
    """A kind of error of that name, the same one each time."""
    return type(kind, (getattr(builtins, base),), {"__init__": _keep, "__str__": lambda self: self.text})


def _keep(self: BaseException, text: str) -> None:
    self.text = text


def _through(lines: list[tuple[str, int, str, int]]) -> TracebackType | None:
    """A traceback that runs through these lines."""
    found = None
    for file, line, function, first in reversed(lines):
        scope = {"inspect": inspect}
        code = compile("frame = inspect.currentframe()", file, "exec")
        exec(code.replace(co_name=function, co_firstlineno=first), scope)
        found = TracebackType(found, scope["frame"], -1, line)
    return found
