"""Runs katas, each in a process of its own, and believes nothing but the results that arrive.

A warm process per framework (`dojo.running.warm`) forks a child per job. The child appends what it does to an events
file; what a child planned and never reported was not passed, whatever its exit status says.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dojo.files import ROOT
from dojo.grading import KataResult
from dojo.running.job import Job
from dojo.running.outcome import assemble, read_events, read_text

# One thread each: several processes at default threads would hinder each other.
CALM = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


Tell = Callable[[str, dict | None], None]  # (framework, its reply, or None when the process has ended)


def cores() -> int:
    """How many jobs to run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _calm_environment() -> dict[str, str]:
    """One thread each, and bytecode kept: every child would otherwise compile the tests anew."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | CALM


class WarmProcess:
    """The driver's end of one `dojo.running.warm` process."""

    def __init__(self, framework: str, tell: Tell):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dojo.running.warm", framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=_calm_environment(),
        )
        threading.Thread(target=self._listen, args=(framework, tell), daemon=True).start()

    def _listen(self, framework: str, tell: Tell) -> None:
        for line in self.process.stdout:
            tell(framework, json.loads(line))
        tell(framework, None)

    def send(self, request: dict) -> None:
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has died; the listener says so

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Runner:
    """Runs jobs in children of warm processes. A context manager: leaving it ends every process."""

    def __init__(self, parallel: int | None = None, tell: Tell | None = None):
        """`tell` is called with each reply of a warm process, on a thread of its own; `run` needs none."""
        self.parallel = parallel or cores()
        self._replies: queue.Queue = queue.Queue()
        self._tell = tell or (lambda framework, reply: self._replies.put((framework, reply)))
        self._warm: dict[str, WarmProcess] = {}
        self._running: dict[int, Job] = {}
        self._number = 0
        self._folder = tempfile.TemporaryDirectory(prefix="dojo-")

    def __enter__(self) -> "Runner":
        return self

    def __exit__(self, *_) -> None:
        for warm in self._warm.values():
            warm.close()
        self._folder.cleanup()

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, KataResult]]:
        """Each job with its result, in the order in which they end."""
        waiting = list(jobs)
        for framework in dict.fromkeys(job.framework for job in waiting):
            self.warm_up(framework)
        while waiting or self._running:
            while waiting and len(self._running) < self.parallel:
                self.submit(waiting.pop(0))
            yield from self.ended(*self._replies.get())

    def warm_up(self, framework: str) -> None:
        """Start the framework's process, so that its import is under way."""
        if framework not in self._warm:
            self._warm[framework] = WarmProcess(framework, self._tell)

    def submit(self, job: Job) -> int:
        """Start a job; returns its number."""
        self.warm_up(job.framework)
        self._number += 1
        self._running[self._number] = job
        self._send(self._number, job)
        return self._number

    def cancel(self, number: int) -> None:
        """End a job that still runs; nothing more is heard of it."""
        if job := self._running.pop(number, None):
            self._warm[job.framework].send({"cancel": number})

    def ended(self, framework: str, reply: dict | None) -> list[tuple[Job, KataResult]]:
        """The jobs that a reply ends: its own; every one of that framework if the warm process itself has died."""
        if reply is None:
            del self._warm[framework]
            lost = [number for number, job in self._running.items() if job.framework == framework]
            replies = [{"id": number, "cause": "lost", "code": 1} for number in lost]
        else:
            replies = [reply] if reply["id"] in self._running else []
        return [
            (job, self._result(reply["id"], job, reply)) for reply in replies if (job := self._running.pop(reply["id"]))
        ]

    def _files(self, number: int) -> tuple[Path, Path, Path]:
        stem = Path(self._folder.name) / str(number)
        return stem.with_suffix(".events"), stem.with_suffix(".stack"), stem.with_suffix(".stack.log")

    def _send(self, number: int, job: Job) -> None:
        events, stack, log = self._files(number)
        for file in (events, stack, log):
            file.unlink(missing_ok=True)
        args = [
            str(job.kata.folder),
            f"--impl={job.tree}",
            f"--framework={job.framework}",
            f"--events={events}",
            *job.options,
        ]
        request = {"id": number, "args": args, "stack": str(stack), "imports": job.imports}
        self._warm[job.framework].send(request)

    def _result(self, number: int, job: Job, reply: dict) -> KataResult:
        events, stack, log = self._files(number)
        return assemble(
            job, read_events(events), reply, read_text(stack) + read_text(events.with_suffix(".hang")), read_text(log)
        )


def run_all(jobs: list[Job]) -> Iterator[KataResult]:
    """The results of the jobs as they end."""
    with Runner() as runner:
        for _, result in runner.run(jobs):
            yield result
