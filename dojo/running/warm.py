"""A process that has imported one framework and runs each kata in a child: `python -m dojo.running.warm torch`.

It reads requests and writes replies, a JSON line each:

    {"id": 1, "args": [pytest's arguments], "stack": FILE}   run pytest in a child
    {"cancel": 1}                                            end that child
    {"id": 1, "cause": "", "code": 0}                        the child has ended; `cause`: memory, time or nothing

On Linux the child is forked, and so needs no import. A process may fork only as long as it has run no operation:
this one imports and computes nothing. Elsewhere the child is a spare interpreter, which was started ahead and has
imported already; when it is given its request, the next one starts.
"""

import gc
import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

import psutil

from dojo.files import ROOT
from dojo.settings import read_settings

CAN_FORK = sys.platform.startswith("linux") and os.environ.get("DOJO_FORK") != "0"  # 0: as elsewhere, for tests
POSIX = os.name == "posix"
TICK = 0.02  # seconds between two looks at the children
LONGEST = 600  # seconds for a whole kata whose tests do not allow for more: their own limits strike long before
_GRACE_GIB = 1  # on top of the limit that the guard in the child keeps

# Imported ahead where a kata is likely to need it: the first optimiser imports all of torch._dynamo.
_AHEAD = {"torch": ["torch._dynamo"], "tensorflow": [], "numpy": []}


class Child:
    """A running kata."""

    def __init__(self, request: dict, spares: "Spares | None"):
        self.id, self.stack = request["id"], Path(request["stack"])
        self.started, self.longest, self.cause = time.monotonic(), LONGEST, ""
        self.spare = spares and spares.give(request)
        self.process = psutil.Process(self.spare.pid if self.spare else _fork(request))
        self.memory = self._resident() + int((read_settings().memory_gib + _GRACE_GIB) * 2**30)

    def _resident(self) -> int:
        try:
            return self.process.memory_info().rss
        except psutil.Error:
            return 0

    def watch(self) -> None:
        """End the child if it is over a limit."""
        if self.cause:
            return
        if self._resident() > self.memory:
            self.end("memory")
        elif time.monotonic() - self.started > self.longest:
            if (allowed := self._allowed()) > self.longest:
                self.longest = allowed
            else:
                self.end("time")

    def _allowed(self) -> float:
        """How many seconds the tests may take together, if the child has come as far as to plan them."""
        with suppress(OSError, ValueError, LookupError):
            plan, *_ = self.stack.with_suffix(".events").read_text(encoding="utf-8").splitlines()
            return json.loads(plan)["seconds"]
        return LONGEST

    def end(self, cause: str) -> None:
        """Ask the child where it stands, then end it and all that it started."""
        self.cause = cause
        if POSIX and cause != "cancelled":
            with suppress(psutil.Error):
                self.process.send_signal(signal.SIGUSR1)
            time.sleep(0.1)
        for process in self._family():
            with suppress(psutil.Error):
                process.kill()

    def _family(self) -> list[psutil.Process]:
        try:
            return [*self.process.children(recursive=True), self.process]
        except psutil.Error:
            return []

    def code(self) -> int | None:
        """The exit status; None while the child runs."""
        if self.spare:
            return self.spare.poll()
        pid, status = os.waitpid(self.process.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def clean_up(self) -> None:
        """End whatever the child left running in its session, and remove its temporary files."""
        if POSIX:
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        shutil.rmtree(_scratch(self.stack), ignore_errors=True)


class Spares:
    """Interpreters that have imported the framework, each for one request. One is always ready, or about to be."""

    def __init__(self, framework: str):
        self.command = [sys.executable, "-m", "dojo.running.warm", framework, "--spare"]
        self.next = self._start()

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(self.command, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=POSIX)

    def give(self, request: dict) -> subprocess.Popen:
        """Hand the request to the interpreter that waits, which becomes the child."""
        child, self.next = self.next, self._start()
        with suppress(OSError):  # it died while it waited: its exit status will say so
            child.stdin.write(json.dumps(request).encode())
            child.stdin.close()
        return child


def be_spare(framework: str) -> None:
    """The life of a spare: import, wait, run one request. It ends at once if its parent goes without one."""
    _import_ahead(framework)
    if text := sys.stdin.read():
        request = json.loads(text)
        _redirect(request)
        os._exit(_run_pytest(request))


def _fork(request: dict) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        _redirect(request)
        code = _run_pytest(request)
    except BaseException:
        traceback.print_exc()  # into the log: nobody else would hear of it
    finally:
        os._exit(code)


def _scratch(stack: str | Path) -> Path:
    """The child's own folder for temporary files: it ends without the clean-up that they count on."""
    return Path(stack).with_suffix(".tmp")


def _redirect(request: dict) -> None:
    """Read nothing, print into the log, and keep temporary files together."""
    scratch = _scratch(request["stack"])
    scratch.mkdir(exist_ok=True)
    tempfile.tempdir = str(scratch)
    nowhere = os.open(os.devnull, os.O_RDWR)
    log = os.open(f"{request['stack']}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(nowhere, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdin = os.fdopen(0)


def _run_pytest(request: dict) -> int:
    import faulthandler

    import pytest

    with open(request["stack"], "w", encoding="utf-8") as stack:
        if POSIX:
            faulthandler.register(signal.SIGUSR1, file=stack)
        code = int(pytest.main(request["args"]))
    with suppress(OSError, ValueError):
        sys.stdout.flush()  # what pytest said would be lost: the child ends by os._exit
    return code


def serve(requests: int, replies, spares: Spares | None) -> None:
    """Answer requests until their end of file; then end the children that still run."""
    children: dict[int, Child] = {}
    pending, opened = b"", True
    while opened or children:
        if opened and _readable(requests, TICK if children else None):
            data = os.read(requests, 65536)
            opened = bool(data)
            *lines, pending = (pending + data).split(b"\n")
            for request in map(json.loads, lines):
                if "cancel" in request:
                    if child := children.get(request["cancel"]):
                        child.end("cancelled")
                else:
                    children[request["id"]] = Child(request, spares)
        elif not opened:
            for child in children.values():
                child.end("cancelled")
            time.sleep(TICK)
        for child in list(children.values()):
            child.watch()
            code = child.code()
            if code is not None:
                del children[child.id]
                replies.write(json.dumps({"id": child.id, "cause": child.cause, "code": code}) + "\n")
                replies.flush()
                child.clean_up()


def _readable(fd: int, seconds: float | None) -> bool:
    if sys.platform == "win32":  # select knows no pipes there: look by name
        return _windows_pipe_has_data(fd, seconds)
    return bool(select.select([fd], [], [], seconds)[0])


def _windows_pipe_has_data(fd: int, seconds: float | None) -> bool:
    import _winapi
    import msvcrt

    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            if _winapi.PeekNamedPipe(msvcrt.get_osfhandle(fd), 0)[0]:
                return True
        except OSError:
            return True  # closed: os.read will say so
        if deadline is not None and time.monotonic() >= deadline:
            return False
        time.sleep(TICK)


def main(framework: str) -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever an import prints must not be taken for a reply
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    if CAN_FORK:
        _import_ahead(framework)
    serve(0, replies, spares=None if CAN_FORK else Spares(framework))


def _import_ahead(framework: str) -> None:
    import pytest  # noqa: F401
    import pytest_timeout  # noqa: F401

    import dojo.pytest_plugin  # noqa: F401
    from dojo.curriculum.frameworks import is_installed
    from dojo.testing.adapters import open_adapter

    if is_installed(framework):
        open_adapter(framework)
        for name in _AHEAD[framework]:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    be_spare(sys.argv[1]) if "--spare" in sys.argv else main(sys.argv[1])
