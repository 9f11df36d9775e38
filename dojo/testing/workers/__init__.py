"""Worker processes for the tests of one kata: real ones, which join a group and exchange tensors.

A task is a function of the test file, task(worker, *args), that runs in every worker at once:

    def add_up(worker, values):
        fw, impl = worker.fw, worker.impl
        total = impl.all_reduce(worker.group, fw.array(values[worker.rank]))
        fw.close(total, sum(values))
        return total

    @pytest.fixture(scope="module", autouse=True)
    def workers(framework):
        with Workers(framework, __file__) as workers:
            yield workers

    def test_the_sum_arrives(workers, impl):
        totals = workers.run(impl, 3, add_up, [1.0, 2.0, 3.0])

The processes are forked from a supervisor, which has imported the framework and computes nothing. It is started
before the test process imports the framework, so that the two imports run side by side.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

from dojo.files import ROOT
from dojo.testing.adapters.values import CheckFailed
from dojo.testing.workers.errors import Packed, unpack

__all__ = ["Workers"]

TIMEOUT = 15  # seconds that the workers wait for one another, unless a test says otherwise
LIMIT = 60  # seconds without an answer from any worker, after which all are ended
SECONDS_TO_LEAVE = 2
# TensorFlow 2.21 itself crashed in 4 of 92 all_gathers that a lost worker cut short (SIGSEGV, SIGABRT): try again.
TRIES = 3
# What becomes of a worker; of several, the first of these is the cause of the others.
KINDS = ["failed", "died", "crashed", "lost another", "waits", "returned"]
HINTS = {
    "lost another": " None had died: did every worker take part in every operation?",
    "waits": " Do all workers take the same steps?",
}


class Workers:
    """Starts worker processes and gives them tasks. A context manager: leaving it ends every process."""

    def __init__(self, framework: str, file: str, start: Callable[[Any], None] | None = None):
        """`file` is the test file; `start(worker)`, a function of it, runs in each process before its first task."""
        self.framework, self.file, self.start = framework, file, start and start.__name__
        self.supervisor: subprocess.Popen | None = None

    def __enter__(self) -> "Workers":
        self._supervisor()
        return self

    def __exit__(self, *_: object) -> None:
        if self.supervisor:
            with suppress(BrokenPipeError):
                self.supervisor.stdin.close()  # it ends all workers, and itself, when its input ends
            self.supervisor.stdout.close()
            with suppress(subprocess.TimeoutExpired):
                self.supervisor.wait(SECONDS_TO_LEAVE)
            self.supervisor.kill()  # it still imports, or hangs; its workers leave with it
            self.supervisor.wait()
            self.supervisor = None

    def run(
        self,
        impl: ModuleType,
        size: int,
        task: Callable[..., Any],
        *args: Any,
        timeout: float = TIMEOUT,
        limit: float = LIMIT,
        lost: int | None = None,
    ) -> list[Any]:
        """What task(worker, *args) returned in each of `size` workers, in the order of their ranks.

        Args:
            impl: the implementation; each worker runs its file as a module of its own, `worker.impl`.
            size: how many workers.
            task: a function of the test file. What it returns are numbers, text, arrays or tensors, which become
                arrays, also in tuples, lists and dicts.
            args: arrays and plain data.
            timeout: seconds that the workers wait for one another in their group: `worker.timeout`.
            limit: seconds without an answer from any worker, after which all are ended.
            lost: the rank of a worker that this task is meant to lose: nothing is expected of it, and None returned.

        Raises:
            What the first worker that failed raised, with its traceback: a verdict tells its rank and the line. A
            CheckFailed where a worker died, or was still at work at the limit.

        A call with the same `impl`, `size` and `timeout` finds the processes of the call before, if all went well.
        """
        request = (impl.__file__, size, timeout), task.__name__, args, lost, limit
        for _ in range(1 if lost is None else TRIES):
            outcomes = self._ask(request)
            if all(kind != "crashed" for kind, _ in outcomes):
                break
        worst, rank = min((KINDS.index(kind), rank) for rank, (kind, _) in enumerate(outcomes) if rank != lost)
        if KINDS[worst] != "returned":
            hint = HINTS.get(KINDS[worst], "")
            if KINDS[worst] == "waits" and lost is not None:
                hint = f" Worker {lost} was lost: does the timeout of {timeout} s reach the group?"
            raise _error(outcomes[rank][1], impl, f"worker {rank} of {size}: ", hint)
        return [value if kind == "returned" else None for kind, value in outcomes]

    def _ask(self, request: tuple) -> list[tuple[str, Any]]:
        """(what became of it, with which value, words or error) of each worker."""
        supervisor = self._supervisor()
        try:
            pickle.dump(request, supervisor.stdin)
            supervisor.stdin.flush()
            return pickle.load(supervisor.stdout)
        except BaseException:  # a time limit, or Ctrl-C: the answer to come belongs to no later task
            self.__exit__()
            raise

    def _supervisor(self) -> subprocess.Popen:
        """The process that keeps the workers, started where there is none."""
        if self.supervisor is None:
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
                "OMP_NUM_THREADS": "1",
                "CUDA_VISIBLE_DEVICES": "",
                "no_proxy": "127.0.0.1",
            }
            command = [sys.executable, "-P", "-m", "dojo.testing.workers.supervisor", self.framework, self.file]
            self.supervisor = subprocess.Popen(
                [*command, self.start or ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        return self.supervisor


def _error(told: Packed | str, impl: ModuleType, before: str, after: str) -> BaseException:
    return unpack(told, impl, before, after) if isinstance(told, Packed) else CheckFailed(f"{before}{told}{after}")
