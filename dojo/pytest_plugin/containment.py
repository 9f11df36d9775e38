"""What an implementation may not do to the process that tests it, and how each attempt is told.

These guards work inside the process and name the learner's line. They are the first line only: `dojo.running` isolates
every kata in a process of its own, and believes nothing but results that arrived.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dojo.settings import Settings

try:
    import resource
except ImportError:  # Windows
    resource = None

MIB = 2**20
_LARGEST_FILE = 256 * MIB  # what is printed past Python lands in a file of pytest's


class Forbidden(BaseException):
    """The implementation did something that no kata asks for. Not an Exception: `except Exception` must not hide it."""


@contextmanager
def guarded(settings: Settings) -> Iterator[None]:
    """Run the implementation's code inside: an exit, too much output or too much memory ends in a told exception."""
    kept = os._exit, sys.stdout, sys.stderr
    os._exit = _refuse_exit(os._exit, os.getpid())
    budget = _Budget(settings.output_mib)
    sys.stdout, sys.stderr = _Limited(sys.stdout, budget), _Limited(sys.stderr, budget)
    limits = _limit_resources(settings.memory_gib)
    try:
        yield
    except SystemExit as error:
        raise Forbidden(f"your code called sys.exit({'' if error.code is None else error.code})") from error
    except pytest.exit.Exception as error:
        raise Forbidden("your code called pytest.exit()") from error
    except MemoryError as error:
        _restore(limits)
        raise Forbidden(f"your code ran out of memory: it may use {settings.memory_gib:g} GiB") from error
    finally:
        os._exit, sys.stdout, sys.stderr = kept
        _restore(limits)


def _refuse_exit(leave: Callable[[int], None], process: int) -> Callable[[int], None]:
    """What stands in for os._exit; a child that the code has forked may leave by it."""

    def refuse(code: int = 0) -> None:
        if os.getpid() != process:
            leave(code)
        raise Forbidden(f"your code called os._exit({code})")

    return refuse


class _Budget:
    """How much may still be printed, to both streams together."""

    def __init__(self, mib: float):
        self.mib, self.left = mib, mib * MIB

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise Forbidden(f"your code printed more than {self.mib:g} MiB")


class _Limited:
    """A text stream that passes everything on, until the budget is spent."""

    def __init__(self, stream, budget: _Budget):
        self._stream, self._budget = stream, budget

    def write(self, text: str) -> int:
        self._budget.spend(len(text))
        return self._stream.write(text)

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def _limit_resources(gib: float) -> dict:
    """Let the process's data grow by `gib` and no more, and its files stay small; returns the limits to restore.

    Linux only, and not where a GPU is present: its driver maps more address space than any limit of ours would allow.
    """
    if not sys.platform.startswith("linux") or Path("/dev/nvidiactl").exists():
        return {}
    status = Path("/proc/self/status").read_text()
    data = 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
    wanted = {resource.RLIMIT_DATA: data + int(gib * 2**30), resource.RLIMIT_FSIZE: _LARGEST_FILE}
    before = {kind: resource.getrlimit(kind) for kind in wanted}
    for kind, limit in wanted.items():
        hard = before[kind][1]
        resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    return before


def _restore(limits: dict) -> None:
    for kind, limit in limits.items():
        resource.setrlimit(kind, limit)
