"""Worker processes: results in order, failures told with their rank and line, and no process left behind.

This file is the test file of its own workers: a function that takes a `worker` runs in them.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from dojo.pytest_plugin.diagnosis import same_failure
from dojo.pytest_plugin.explain import is_unwritten, line_in, message
from dojo.testing.adapters import CheckFailed, open_adapter
from dojo.testing.loading import load
from dojo.testing.workers import Workers

IMPLEMENTATION = """
class Odd(ValueError):
    def __init__(self, number, unit):
        super().__init__(f"{number} {unit}")

def scaled(x, rank):
    return x * (rank + 1)

def fail(rank, culprit, kind):
    if rank == culprit:
        raise kind("this is the line")

def odd():
    raise Odd(3, "metres")

def stub():
    raise NotImplementedError("stub is yours to write")
"""


@pytest.fixture(scope="module", params=["numpy", "torch", "tensorflow"])
def any_workers(request):
    with Workers(request.param, __file__) as workers:
        yield workers


@pytest.fixture(scope="module")
def workers():
    with Workers("numpy", __file__) as workers:
        yield workers


@pytest.fixture(scope="module")
def impl(tmp_path_factory):
    file = tmp_path_factory.mktemp("katas") / "example_kata.py"
    file.write_text(IMPLEMENTATION)
    return load(file)


def line_of(words):
    """':number' of the line of the implementation that holds these words."""
    return f":{next(number for number, line in enumerate(IMPLEMENTATION.splitlines(), 1) if words in line)}"


def told(impl, error):
    """(words, line) as a verdict has them."""
    where = line_in(Path(impl.__file__), error)
    return message(error, where, impl), where


def pids(workers):
    """The supervisor's process and all that it started."""
    family = psutil.Process(workers.supervisor.pid)
    return [family, *family.children(recursive=True)]


def gone(processes, seconds=10):
    return not psutil.wait_procs(processes, timeout=seconds)[1]


# ---------------------------------------------------------------- tasks


def scale(worker, x):
    fw, impl = worker.fw, worker.impl
    return {"rank": (worker.rank, worker.size), "values": [impl.scaled(fw.array(x), worker.rank)]}


def add_up(worker, numbers):
    """The sum over all workers by the framework's own all-reduce; and what `collectives` counts."""
    fw, place, found = worker.fw, worker.fw.place_in_group(worker.group), []
    names = fw.collectives(lambda: found.append(all_reduce(worker, fw.array([numbers[worker.rank]]))))
    return place, found[0], len(names)


def all_reduce(worker, tensor):
    if worker.fw.name == "torch":
        import torch.distributed as dist

        dist.all_reduce(tensor, group=worker.group)
        return tensor
    import tensorflow as tf

    def on_each_worker(own):
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

    return worker.group.run(on_each_worker, args=(tensor,))


def fail_in_one(worker, culprit, kind):
    return worker.impl.fail(worker.rank, culprit, kind)


def call(worker, name):
    return getattr(worker.impl, name)()


def wrong_value(worker):
    worker.fw.close(worker.fw.array([3.0]), [1.0], of="sum")


def hang(worker, culprit, seconds=600):
    if worker.rank == culprit:
        time.sleep(seconds)
    return worker.rank


def leave(worker, culprit):
    if worker.rank == culprit:
        os._exit(7)
    return worker.rank


def give_up(worker, culprit):
    if worker.rank == culprit:
        raise ConnectionError("nobody answers")


def process_id(worker):
    return os.getpid(), worker.timeout, worker.addresses


def set_the_group(worker):
    worker.group = f"the group of {worker.rank}, joined by {os.getpid()}"


def group(worker):
    return worker.group, os.getpid()


# ---------------------------------------------------------------- what comes back


def test_results_come_as_arrays_in_the_order_of_ranks(any_workers, impl):
    for rank, found in enumerate(any_workers.run(impl, 3, scale, np.array([1.0, 2.0]))):
        assert found["rank"] == (rank, 3)
        (values,) = found["values"]
        assert type(values) is np.ndarray and values.dtype == "float32"
        assert values.tolist() == [rank + 1, 2 * rank + 2]


@pytest.mark.parametrize("any_workers", ["torch", "tensorflow"], indirect=True)
def test_the_workers_of_a_framework_have_its_group(any_workers, impl):
    for rank, (place, total, collectives) in enumerate(any_workers.run(impl, 2, add_up, [1.0, 10.0])):
        assert place == (rank, 2)
        assert total.tolist() == [11.0]
        assert collectives == 1


def test_numpy_has_no_group(workers, impl):
    with pytest.raises(TypeError, match="NumPy has no groups of processes"):
        workers.run(impl, 1, group)


def test_processes_are_used_again_until_something_goes_wrong(workers, impl):
    first, again = (workers.run(impl, 2, process_id) for _ in range(2))
    assert first == again
    assert len({pid for pid, _, _ in first}) == 2
    assert all(len(set(addresses)) == 2 for _, _, addresses in first)
    assert workers.run(impl, 2, process_id, timeout=9)[0][1] == 9
    with pytest.raises(CheckFailed):
        workers.run(impl, 2, wrong_value)
    assert {pid for pid, _, _ in first}.isdisjoint(pid for pid, _, _ in workers.run(impl, 2, process_id))


def test_start_runs_once_in_each_process(impl):
    with Workers("numpy", __file__, start=set_the_group) as workers:
        for _ in range(2):
            for rank, (found, pid) in enumerate(workers.run(impl, 2, group)):
                assert found == f"the group of {rank}, joined by {pid}"


# ---------------------------------------------------------------- failures in words


def test_a_failing_rank_is_named_with_the_line_of_the_implementation(any_workers, impl):
    with pytest.raises(ValueError) as caught:
        any_workers.run(impl, 3, fail_in_one, 1, ValueError)
    words, where = told(impl, caught.value)
    assert words == "worker 1 of 3: your code raised ValueError: this is the line"
    assert where.endswith("example_kata.py" + line_of("raise kind"))


def test_a_check_that_fails_keeps_its_kind_and_value(workers, impl):
    with pytest.raises(CheckFailed) as caught:
        workers.run(impl, 2, wrong_value)
    assert told(impl, caught.value)[0].startswith("worker 0 of 2: sum: wrong values: it at [0] should be 1 and is 3.")
    assert caught.value.actual.tolist() == [3.0]


def test_an_error_that_cannot_be_pickled_is_told_alike_each_time(workers, impl):
    kinds = set()
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            workers.run(impl, 1, call, "odd")
        words, where = told(impl, caught.value)
        assert words == "worker 0 of 1: your code raised Odd: 3 metres"
        assert where.endswith(line_of("raise Odd"))
        kinds.add(type(caught.value))
    assert len(kinds) == 1  # a diagnosis compares the kinds of two errors


def test_failures_of_two_ranks_are_two_failures(workers, impl):
    caught = []
    for culprit in (0, 1, 1):
        with pytest.raises(CheckFailed) as error:
            workers.run(impl, 2, wrong_in_one, culprit)
        caught.append(error.value)
    assert not same_failure(caught[0], caught[1])
    assert same_failure(caught[1], caught[2])


def wrong_in_one(worker, culprit):
    if worker.rank == culprit:
        wrong_value(worker)


def test_what_is_not_written_yet_is_told_as_such(workers, impl):
    with pytest.raises(NotImplementedError) as caught:
        workers.run(impl, 1, call, "stub")
    assert is_unwritten(caught.value)
    assert told(impl, caught.value)[0] == "worker 0 of 1: not written yet: stub is yours to write"


def test_a_missing_name_is_told_with_the_nearest(workers, impl):
    with pytest.raises(AttributeError) as caught:
        workers.run(impl, 1, call, "stubb")
    assert "example_kata.py defines no 'stubb'. Did you mean" in told(impl, caught.value)[0]


def test_a_file_that_does_not_run_is_told(workers, impl, tmp_path):
    broken = type(impl)("broken")
    broken.__file__ = str(tmp_path / "broken.py")
    Path(broken.__file__).write_text("x = 1\ndef f(:\n")
    with pytest.raises(SyntaxError) as caught:
        workers.run(broken, 1, process_id)
    assert "the file does not parse" in told(broken, caught.value)[0]
    assert told(broken, caught.value)[1].endswith("broken.py:2")


def test_a_worker_that_lost_another_is_not_the_cause(workers, impl):
    with pytest.raises(CheckFailed, match=r"worker 1 of 2: the process has ended, with exit status 7\.$"):
        workers.run(impl, 2, leave, 1)
    with pytest.raises(ConnectionError) as caught:
        workers.run(impl, 2, give_up, 0)
    assert told(impl, caught.value)[0].endswith("None had died: did every worker take part in every operation?")


# ---------------------------------------------------------------- limits


def test_a_hanging_rank_is_stopped_in_time(workers, impl):
    workers.run(impl, 3, hang, None)  # the processes are there
    hanging = psutil.Process(workers.run(impl, 3, process_id)[2][0])
    begun = time.monotonic()
    with pytest.raises(CheckFailed, match=r"worker 2 of 3: still at work.*Do all workers take the same steps\?"):
        workers.run(impl, 3, hang, 2, limit=1)
    assert time.monotonic() - begun < 5
    assert gone([hanging], seconds=1)


def test_when_one_fails_the_others_are_not_waited_for(workers, impl):
    begun = time.monotonic()
    with pytest.raises(ValueError):
        workers.run(impl, 2, fail_or_hang, limit=100)
    assert time.monotonic() - begun < 10


def fail_or_hang(worker):
    if worker.rank == 0:
        raise ValueError("at once")
    time.sleep(600)


@pytest.mark.parametrize("task", [hang, leave])
def test_of_a_worker_that_is_meant_to_be_lost_nothing_is_expected(workers, impl, task):
    assert workers.run(impl, 3, task, 2, lost=2) == [0, 1, None]


def test_no_process_is_left(impl):
    with Workers("numpy", __file__) as workers:
        workers.run(impl, 3, hang, None)
        processes = pids(workers)
        assert len(processes) == 4
    assert gone(processes)


def test_no_process_is_left_where_the_supervisor_is_killed(impl):
    with Workers("numpy", __file__) as workers:
        workers.run(impl, 3, hang, 2, lost=2)  # one of them sleeps
        workers.run(impl, 2, hang, None)
        processes = pids(workers)
        workers.supervisor.kill()
        assert gone(processes)


def test_no_process_is_left_where_the_test_process_is_killed(impl, tmp_path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dojo.testing.loading import load\n"
        "from dojo.testing.workers import Workers\n"
        f"tests, impl = load(Path({__file__!r})), load(Path({impl.__file__!r}))\n"
        f"workers = Workers('numpy', {__file__!r})\n"
        "workers.run(impl, 2, tests.hang, None)\n"
        "print(workers.supervisor.pid, flush=True)\n"
        "workers.run(impl, 2, tests.hang, 1)\n"
    )
    root = Path(__file__).parent.parent
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root) as process:
        supervisor = psutil.Process(int(process.stdout.readline()))
        processes = [supervisor, *supervisor.children(recursive=True)]
        assert len(processes) == 3
        process.kill()
        assert gone(processes)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_an_answer_that_comes_too_late_is_taken_for_no_other(impl):
    class TooLong(Exception):
        """What a time limit of the test raises."""

    def stop(*_):
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with Workers("numpy", __file__) as workers:
            workers.run(impl, 2, hang, None)
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(TooLong):
                workers.run(impl, 2, hang, 1, 2)
            assert workers.run(impl, 2, scale, np.ones(1))[1]["rank"] == (1, 2)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_numpy_refuses_groups_in_words():
    fw = open_adapter("numpy")
    for refused in (lambda: fw.process_group(0, ["a"], 1), lambda: fw.place_in_group(None), lambda: fw.collectives(id)):
        with pytest.raises(TypeError, match="NumPy has no groups of processes"):
            refused()
