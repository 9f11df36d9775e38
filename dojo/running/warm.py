"""A process that has imported one framework and runs each kata in a child: `python -m dojo.running.warm torch`.

It reads requests and writes replies, a JSON line each:

    {"id": 1, "args": [pytest's arguments], "stack": FILE, "imports": [modules]}   run pytest in a child
    {"cancel": 1}                                                                  end that child
    {"id": 1, "cause": "", "code": 0}                  the child has ended; `cause`: memory, time or nothing

On Linux the child is forked, and so needs no import: what its kata imports beside the framework is imported here before
the first fork that needs it. A process may fork only as long as it has run no operation: this one imports and computes
nothing. While nothing is asked, a child waits ahead, and has run what is slow only the first time.

Elsewhere the child is a spare interpreter, which was started ahead and has imported already; when it is given its
request, the next one starts.
"""

import gc
import importlib
import json
import os
import select
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

import pytest_timeout  # noqa: F401 - every child loads it

import dojo.pytest_plugin  # noqa: F401
from dojo.compat import builtin_plugins
from dojo.curriculum.frameworks import is_installed
from dojo.files import ROOT
from dojo.running.child import Child, redirect, run_request
from dojo.running.starting import Forks, Spares, ends_of
from dojo.testing.adapters import open_adapter

CAN_FORK = sys.platform.startswith("linux") and os.environ.get("DOJO_FORK") != "0"  # 0: as elsewhere, for tests
TICK = 0.02  # seconds between two looks at the children


def main(framework: str) -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever an import prints must not be taken for a reply
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    if CAN_FORK:
        import_framework(framework)
    serve(0, replies, Forks(import_ahead, lambda: rehearse(framework)) if CAN_FORK else Spares(framework))


def be_spare(framework: str) -> None:
    """The life of a spare: import, wait, run one request. It ends at once if its parent goes without one."""
    import_framework(framework)
    if text := sys.stdin.read():
        request = json.loads(text)
        redirect(request)
        os._exit(run_request(request))


def import_framework(framework: str) -> None:
    """Import the framework and what its katas are likely to need, and keep the garbage collector away from it."""
    import_ahead(builtin_plugins())  # every child loads them
    if is_installed(framework):
        import_ahead(open_adapter(framework).ahead)


def rehearse(framework: str) -> None:
    """Run what the framework does only once; never before a fork."""
    if is_installed(framework):
        open_adapter(framework).rehearse()


def import_ahead(modules: Iterable[str]) -> bool:
    """Import what is not imported yet, and say whether there was any; whoever needs what is missing says so later."""
    new = [name for name in modules if name not in sys.modules]
    for name in new:
        with suppress(ImportError):
            importlib.import_module(name)
    if new:
        gc.collect()
        gc.freeze()
    return bool(new)


def serve(requests: int, replies, starter: Forks | Spares) -> None:
    """Answer requests until their end of file; then end the children that still run."""
    children: dict[int, Child] = {}
    pending, opened = b"", True
    while opened or children:
        patience = TICK if children or not starter.is_ready else None
        if opened and _readable(requests, [child.started for child in children.values()], patience):
            data = os.read(requests, 65536)
            opened = bool(data)
            *lines, pending = (pending + data).split(b"\n")
            for request in map(json.loads, lines):
                if "cancel" in request:
                    if child := children.get(request["cancel"]):
                        child.end("cancelled")
                else:
                    children[request["id"]] = Child(request, starter.give(request))
        elif not opened:
            for child in children.values():
                child.end("cancelled")
            time.sleep(TICK)
        elif not (children or starter.is_ready):
            starter.prepare()
        for child in list(children.values()):
            child.watch()
            code = child.started.poll()
            if code is not None:
                del children[child.id]
                replies.write(json.dumps({"id": child.id, "cause": child.cause, "code": code}) + "\n")
                replies.flush()
                child.clean_up()
    starter.close()


def _readable(requests: int, started: list, seconds: float | None) -> bool:
    """Whether a request is there; waits for one until a child ends or the time is over."""
    if sys.platform == "win32":  # select knows no pipes there: look by name
        return _windows_pipe_has_data(requests, seconds)
    return requests in select.select([requests, *ends_of(started)], [], [], seconds)[0]


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


if __name__ == "__main__":
    be_spare(sys.argv[1]) if "--spare" in sys.argv else main(sys.argv[1])
