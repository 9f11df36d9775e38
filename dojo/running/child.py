"""A child of a warm process: one run of pytest on one kata, how it starts and how it ends."""

import faulthandler
import json
import os
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
import pytest

from dojo.files import ROOT
from dojo.running.limits import Limits

POSIX = os.name == "posix"


class Child:
    """A running kata."""

    def __init__(self, request: dict, spares: "Spares | None"):
        self.id, self.stack, self.cause = request["id"], Path(request["stack"]), ""
        self.spare = spares and spares.give(request)
        self.process = psutil.Process(self.spare.pid if self.spare else _fork(request))
        self.limits = Limits(self.process, self.stack.with_suffix(".events"))

    def watch(self) -> None:
        """End the child if it is over a limit."""
        if not self.cause and (cause := self.limits.exceeded()):
            self.end(cause)

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


def _fork(request: dict) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        redirect(request)
        code = run_request(request)
    except BaseException:
        traceback.print_exc()  # into the log: nobody else would hear of it
    finally:
        os._exit(code)


def _scratch(stack: str | Path) -> Path:
    """The child's own folder for temporary files: it ends without the clean-up that they count on."""
    return Path(stack).with_suffix(".tmp")


def redirect(request: dict) -> None:
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


def run_request(request: dict) -> int:
    with open(request["stack"], "w", encoding="utf-8") as stack:
        if POSIX:
            faulthandler.register(signal.SIGUSR1, file=stack)
        code = int(pytest.main(request["args"]))
    with suppress(OSError, ValueError):
        sys.stdout.flush()  # what pytest said would be lost: the child ends by os._exit
    return code
