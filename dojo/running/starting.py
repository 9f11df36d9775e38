"""Where the children of a warm process come from. One waits ahead, so that a request need not wait for its start."""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress

from dojo.files import ROOT
from dojo.running.child import POSIX, redirect, run_request


class Fork:
    """A forked child that reads one request. It ends at once if its parent goes without one."""

    def __init__(self, get_ready: Callable[[], None]):
        read, self._write = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._write)
            _live(read, get_ready)
        os.close(read)
        self.end = _end_of(self.pid)

    def give(self, request: dict) -> None:
        with suppress(OSError), os.fdopen(self._write, "wb") as pipe:  # it may have died: its exit status will say so
            pipe.write(json.dumps(request).encode())

    def dismiss(self) -> None:
        """End the child, which has got no request."""
        os.close(self._write)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._close()

    def poll(self) -> int | None:
        """The exit status; None while the child runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self._close()
        return os.waitstatus_to_exitcode(status)

    def _close(self) -> None:
        if self.end is not None:
            os.close(self.end)


class Forks:
    """Forked children: none needs an import of what its parent has imported."""

    def __init__(self, import_ahead: Callable[[Iterable[str]], bool], rehearse: Callable[[], None]):
        """
        Args:
            import_ahead: imports modules in this process, and says whether any of them was new.
            rehearse: what a child does while it waits.
        """
        self._import_ahead, self._rehearse = import_ahead, rehearse
        self._waiting: Fork | None = None

    @property
    def is_ready(self) -> bool:
        return self._waiting is not None

    def prepare(self) -> None:
        """Let a child wait ahead. Only while no other runs: it would take their time."""
        self._waiting = self._waiting or Fork(self._rehearse)

    def give(self, request: dict) -> Fork:
        """Hand the request to a child."""
        if self._import_ahead(request["imports"]):
            self.close()  # the one that waits lacks them
        child, self._waiting = self._waiting or Fork(lambda: None), None
        child.give(request)
        return child

    def close(self) -> None:
        if self._waiting:
            self._waiting.dismiss()
            self._waiting = None


class Spares:
    """Interpreters that have imported the framework, each for one request. One is always ready, or about to be."""

    is_ready = True

    def __init__(self, framework: str):
        self.command = [sys.executable, "-m", "dojo.running.warm", framework, "--spare"]
        self._waiting = self._start()

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(self.command, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=POSIX)

    def give(self, request: dict) -> subprocess.Popen:
        """Hand the request to the interpreter that waits, which becomes the child."""
        child, self._waiting = self._waiting, self._start()
        with suppress(OSError):  # it died while it waited: its exit status will say so
            child.stdin.write(json.dumps(request).encode())
            child.stdin.close()
        return child

    def close(self) -> None:
        """Nothing to do: the one that waits ends with its parent."""


def ends_of(started: Iterable[Fork | subprocess.Popen]) -> list[int]:
    """What becomes readable when a child ends, of those that have such a thing; the others must be looked at."""
    return [end for child in started if (end := getattr(child, "end", None)) is not None]


def _end_of(pid: int) -> int | None:
    """What becomes readable when the child ends; None where the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _live(pipe: int, get_ready: Callable[[], None]) -> None:
    """The life of a forked child."""
    code = 1
    try:
        os.setsid()
        get_ready()
        with os.fdopen(pipe, "rb") as file:
            text = file.read()
        if text:
            request = json.loads(text)
            redirect(request)
            code = run_request(request)
    except BaseException:
        traceback.print_exc()  # into the log: nobody else would hear of it
    finally:
        os._exit(code)
