"""From a failed test to words: what was wrong, on which line, called how and with what."""

import re
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType

import pytest

from dojo.errors import DojoError
from dojo.files import shown
from dojo.grading import STOPPED
from dojo.pytest_plugin.containment import Forbidden
from dojo.pytest_plugin.loading import missing_name
from dojo.testing.adapters.base import CheckFailed
from dojo.testing.workers.errors import around

LONGEST = 600  # characters of a message that people will read
# What a Keras layer makes of an error that its call raises: the error's own words stand in the middle, in bold.
_OF_KERAS = re.compile("Exception encountered when calling .*?\x1b\\[1m(.*)\x1b\\[0m\n\nArguments received", re.DOTALL)
# What tf.function makes of an error in what it traces: a stack, a frame like this each, and then the error's own words.
_TRACED = "in user code:"
_FRAME = re.compile(r'^ +File "(?P<file>.*)", line (?P<line>\d+), in .*\n.*\n', re.MULTILINE)
_UNUSABLE = re.compile(r"NoneType")


def is_unwritten(error: BaseException) -> bool:
    """Raised by a line of Python, as a stub does; a framework's kernels raise it for an operation that they lack."""
    if not isinstance(error, NotImplementedError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return not frames or (frames[-1].line or "").startswith("raise")


def message(error: BaseException, where: str, module: ModuleType | None) -> str:
    """The failure in a sentence or two. `where` is empty when no line of the implementation raised it."""
    before, after = around(error)
    return f"{before}{_message(error, where, module)}{after}"


def _message(error: BaseException, where: str, module: ModuleType | None) -> str:
    if isinstance(error, CheckFailed | DojoError):
        return str(error)
    if isinstance(error, Forbidden):
        return f"{error}."
    if isinstance(error, SyntaxError) and not isinstance(error, IndentationError):
        return f"the file does not parse: {error.msg}."
    if isinstance(error, IndentationError):
        return f"the file does not parse: {error.msg} (check the indentation)."
    if isinstance(error, AttributeError) and module is not None and error.obj is module:
        return missing_name(module, error.name)
    if is_unwritten(error):
        return f"not written yet: {_short(error)}"
    if isinstance(error, pytest.skip.Exception):
        return "your code called pytest.skip(); a skipped test earns nothing."
    if isinstance(error, pytest.fail.Exception):
        return _pytest_failure(str(error.msg))
    if isinstance(error, AssertionError) and not where:
        return _without_comparison(_short(error)) or "the test's assertion does not hold."
    kind = type(error).__name__
    if where:
        return f"your code raised {kind}: {_short(error)}"
    hint = " Is a return statement missing?" if _UNUSABLE.search(str(error)) else ""
    return f"the test could not use what came back: {kind}: {_short(error)}.{hint}"


def _without_comparison(text: str) -> str:
    """The test's own words, without the line in which pytest repeats the comparison behind them."""
    words, found, _ = text.partition("\nassert ")
    return words if found and words.strip() else text


def _pytest_failure(text: str) -> str:
    """What pytest.fail, pytest.raises and the timeout say, in the learner's terms."""
    if match := re.match(r"DID NOT RAISE (?:<class ')?(?:\w+\.)*(\w+)", text):
        return f"expected {match[1]} to be raised, but nothing was."
    if match := re.search(r"Timeout \(>([\d.]+)s\)", text):
        more = "If your machine is busy, allow more: test_seconds in dojo.toml."
        return f"{STOPPED} after {float(match[1]):g} s. Is there an endless loop? {more}"
    return text[:LONGEST]


def _short(error: BaseException) -> str:
    text = _without_stack(str(error))
    wrapped = _OF_KERAS.match(text)
    text = (wrapped[1] if wrapped else text).strip()
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def _without_stack(text: str) -> str:
    """An error's own words, where tf.function has put a stack and its kind before them."""
    frames = list(_FRAME.finditer(text)) if text.startswith(_TRACED) else []
    return re.sub(r"^\w+: ", "", textwrap.dedent(text[frames[-1].end() :]).strip()) if frames else text


def line_in(path: Path, error: BaseException) -> str:
    """file:line of the innermost line of `path` that the error passed through; '' where there is none."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{shown(path)}:{error.lineno}"
    for link in chain(error):
        lines = [tb.tb_lineno for tb in frames_of(link.__traceback__) if tb.tb_frame.f_code.co_filename == str(path)]
        if lines:
            return f"{shown(path)}:{lines[-1]}"
    traced = [frame["line"] for frame in _FRAME.finditer(str(error)) if frame["file"] == str(path)]
    return f"{shown(path)}:{traced[-1]}" if traced and str(error).startswith(_TRACED) else ""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def frames_of(tb: TracebackType | None) -> Iterator[TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next
