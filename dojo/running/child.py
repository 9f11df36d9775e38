"""A child of a warm process: one run of pytest on one kata, and how it ends."""

import faulthandler
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from dojo.running.limits import Limits

POSIX = os.name == "posix"


class Child:
    """A running kata."""

    def __init__(self, request: dict, started: Any):
        """`started` has what a subprocess.Popen has: `pid` and `poll()`."""
        self.id, self.stack, self.cause = request["id"], Path(request["stack"]), ""
        self.started, self.process = started, psutil.Process(started.pid)
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

    def clean_up(self) -> None:
        """End whatever the child left running in its session, and remove its temporary files."""
        if POSIX:
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        shutil.rmtree(_scratch(self.stack), ignore_errors=True)


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
