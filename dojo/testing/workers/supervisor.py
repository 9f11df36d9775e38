"""The process that keeps the workers of one test file: `python -m dojo.testing.workers.supervisor torch FILE START`.

It imports the framework once and forks the workers from that: a process that has only imported a framework can be
forked. A group of workers lives from task to task, until something goes wrong in it. All end when the input ends.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import socket
import sys
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from dojo.testing.adapters import FrameworkAdapter, open_adapter
from dojo.testing.loading import load
from dojo.testing.workers.errors import pack

GRACE = 3  # seconds that the others get once a worker has failed


@dataclass
class Worker:
    """What a task knows of the process that it runs in."""

    fw: FrameworkAdapter
    rank: int
    addresses: list[str]  # "host:port" of each worker, free for use
    timeout: float  # seconds that the workers should wait for one another
    impl: ModuleType | None = None  # the implementation under test, a module of this process

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self.addresses)

    @cached_property
    def group(self) -> Any:
        """The framework's own group of all workers, joined when first asked for; a test's `start` may set another.

        A task asks for it before its first operation: TensorFlow lets no process join after that.
        """
        return self.fw.process_group(self.rank, self.addresses, self.timeout)


def main(framework: str, file: str, start: str) -> None:
    """Run the tasks that arrive, until no more can arrive."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the workers print is no reply
    for name in open_adapter(framework).ahead:
        __import__(name)
    load(Path(file))
    groups: dict[tuple, Group] = {}
    try:
        while True:
            kind, task, args, lost, limit = pickle.load(requests)
            if kind not in groups:
                groups[kind] = Group(framework, file, start, *kind)
            outcomes = groups[kind].run(task, args, lost, limit)
            if any(outcome != "returned" for outcome, _ in outcomes):
                groups.pop(kind).end()
            pickle.dump(outcomes, replies)
            replies.flush()
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
    finally:
        for group in groups.values():
            group.end()
        os._exit(0)  # the frameworks take their time to leave


class Group:
    """Worker processes."""

    def __init__(self, framework: str, file: str, start: str, path: str, size: int, timeout: float):
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        addresses = _free_addresses(size)
        self.processes, self.connections = [], []
        for rank in range(size):
            ours, theirs = context.Pipe()
            args = theirs, framework, file, start, path, rank, addresses, timeout
            self.processes.append(context.Process(target=_work, args=args, daemon=True))
            self.processes[-1].start()
            self.connections.append(ours)
            theirs.close()

    def run(self, task: str, args: tuple, lost: int | None, limit: float) -> list[tuple[str, Any]]:
        """An outcome per worker: ("returned", its value), or what became of it with its error or some words."""
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.send((task, args))
        outcomes, patience = {}, limit
        hang_up = [] if sys.platform == "win32" else [sys.stdin.fileno()]
        while awaited := {c: rank for rank, c in enumerate(self.connections) if rank not in outcomes and rank != lost}:
            ready = multiprocessing.connection.wait([*awaited, *hang_up], patience)
            if not ready:
                break
            if hang_up and hang_up[0] in ready:
                raise EOFError("nobody waits for the outcomes any more")
            for connection in ready:
                rank = awaited[connection]
                outcomes[rank] = self._outcome(rank)
                if outcomes[rank][0] != "returned":
                    patience = min(limit, GRACE)
        waits = "waits", "still at work, or waiting for another worker, when it was stopped."
        return [outcomes.get(rank, waits) for rank in range(len(self.connections))]

    def _outcome(self, rank: int) -> tuple[str, Any]:
        try:
            return self.connections[rank].recv()
        except (EOFError, OSError):
            self.processes[rank].join(1)
            status = self.processes[rank].exitcode or 0
            return "crashed" if status < 0 else "died", f"the process has ended, with exit status {status}."

    def end(self) -> None:
        for process in self.processes:
            process.kill()  # TensorFlow catches a mere request to terminate
            process.join()


def _free_addresses(count: int) -> list[str]:
    """Addresses on this machine that nobody listens to."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def _work(
    connection, framework: str, file: str, start: str, path: str, rank: int, addresses: list[str], timeout: float
):
    """The life of a worker: do one task after the other."""
    threading.Thread(target=_leave_with_the_supervisor, daemon=True).start()
    sys.stdout.reconfigure(line_buffering=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the frameworks' own remarks
    tasks = sys.modules.get(Path(file).stem) or load(Path(file))
    worker = Worker(open_adapter(framework), rank, addresses, timeout)
    while True:
        try:
            task, args = connection.recv()
        except EOFError:
            os._exit(0)
        connection.send(_outcome_of(worker, tasks, start, Path(path), task, args))


def _outcome_of(worker: Worker, tasks: ModuleType, start: str, path: Path, task: str, args: tuple) -> tuple[str, Any]:
    try:
        if worker.impl is None:
            worker.fw.seed(worker.rank)
            worker.impl = load(path)
            if start:
                getattr(tasks, start)(worker)
        return "returned", _as_arrays(worker.fw, getattr(tasks, task)(worker, *args))
    except BaseException as error:
        return "lost another" if isinstance(error, ConnectionError) else "failed", pack(error, worker.impl)


def _as_arrays(fw: FrameworkAdapter, value: Any) -> Any:
    """The value with arrays in the place of tensors."""
    if fw.is_tensor(value):
        return fw.numpy(value)
    if isinstance(value, dict):
        return {key: _as_arrays(fw, part) for key, part in value.items()}
    return type(value)(_as_arrays(fw, part) for part in value) if type(value) in (list, tuple) else value


def _leave_with_the_supervisor() -> None:
    """A worker that computes for ever would outlive a supervisor that was killed."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
