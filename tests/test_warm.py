"""The warm processes: forked children on Linux, spare interpreters elsewhere; both give the same verdicts."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from dojo.curriculum.katas import Kata
from dojo.grading import State
from dojo.running.job import Job
from dojo.running.outcome import assemble

LOOP = "def double(x):\n    while True:\n        pass\n"
LEAVE = "import os, signal\n\ndef double(x):\n    os.kill(os.getpid(), signal.SIGKILL)\n"


@pytest.fixture(params=["1", "0"], ids=["fork", "spare"])
def fork(request, monkeypatch):
    monkeypatch.setenv("DOJO_FORK", request.param)
    if request.param == "1" and not sys.platform.startswith("linux"):
        pytest.skip("only Linux forks")


def messages(result):
    return [test["message"] for level in result["levels"] for test in level["tests"] if test["message"]]


def test_each_kata_gets_its_own_verdict(fork, project, right):
    project.write("dojo.toml", "test_seconds = 2\n")
    project.kata("double", numpy=right)
    project.kata("triple", numpy=LOOP)
    project.kata("quadruple", numpy=LEAVE)
    project.kata("quintuple", numpy=right.replace("x + x", "x"))
    results = {slug: result for (slug, _), result in project.graded().items()}
    assert results["double"]["score"] == 5
    assert results["quintuple"]["score"] == 1
    assert "Is there an endless loop?" in messages(results["triple"])[0]
    assert "died of signal 9" in messages(results["quadruple"])[0]


def test_a_child_that_ends_without_a_word_is_told(project, right):
    """Before it has read the tests: how it ended is all that is known."""
    kata = Kata(project.kata("double", numpy=right))
    result = assemble(Job(kata, "numpy", project.root / "katas"), [], {"cause": "", "code": -9}, "", "")
    assert result.state is State.ERROR
    assert result.levels[0].tests[0].message == "the process of your code died of signal 9."


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_child_in_which_pytest_itself_fails_says_so(project):
    script = """
        import os
        from dojo.running import starting
        starting.run_request = lambda request: 1 / 0
        child = starting.Fork(lambda: None)
        child.give({"stack": "stack"})
        os.waitpid(child.pid, 0)
    """
    assert project.run("-c", textwrap.dedent(script)).returncode == 0
    assert "ZeroDivisionError" in (project.root / "stack.log").read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks")
class TestWaitingAhead:
    """While nothing is asked, a forked child waits for the next request."""

    @pytest.fixture
    def warm(self, project):
        """A warm process in which NumPy is imported."""
        command = [sys.executable, "-m", "dojo.running.warm", "numpy"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        with subprocess.Popen(command, cwd=project.root, **pipes) as process:
            yield process
            process.stdin.close()

    @staticmethod
    def waiting(warm):
        """The process id of the child that waits ahead."""
        wait_until(lambda: psutil.Process(warm.pid).children(), "a child waits")
        (child,) = psutil.Process(warm.pid).children()
        return child.pid

    @staticmethod
    def run(warm, project, imports):
        """What the kata notes down: its process id, and whether `wave` was imported before."""
        note = "import os, sys\n\nprint(os.getpid(), 'wave' in sys.modules, file=open('note', 'w'))\n"
        folder = project.kata("double", numpy=f"{note}\ndef double(x):\n    return x + x\n")
        args = [str(folder), f"--impl={project.root / 'katas'}", f"--events={project.root / 'events'}"]
        request = {"id": 1, "args": args, "stack": str(project.root / "stack"), "imports": imports}
        print(json.dumps(request), file=warm.stdin, flush=True)
        assert json.loads(warm.stdout.readline()) == {"id": 1, "cause": "", "code": 0}
        pid, imported = (project.root / "note").read_text().split()
        return int(pid), imported == "True"

    def test_the_one_that_waits_takes_the_request_and_another_comes_in_its_place(self, warm, project):
        first = self.waiting(warm)
        assert self.run(warm, project, []) == (first, False)
        second = self.waiting(warm)
        assert self.run(warm, project, []) == (second, False)
        assert first != second

    def test_one_that_lacks_an_import_is_replaced(self, warm, project):
        waiting = self.waiting(warm)
        pid, imported = self.run(warm, project, ["wave"])
        assert imported
        assert pid != waiting
        assert not psutil.pid_exists(waiting)

    def test_it_ends_with_its_parent(self, warm):
        waiting = self.waiting(warm)
        warm.kill()
        wait_until(lambda: not psutil.pid_exists(waiting), "the one that waits has ended")


def test_no_child_is_a_fresh_interpreter(fork, project, right):
    """Its main program is the one that has imported ahead, and not pytest."""
    ahead = "import sys\n\nahead = sys.modules['__main__'].__file__.endswith('warm.py')\n"
    project.kata("double", numpy=f"{ahead}{right}".replace("return x + x", "return x + x if ahead else x"))
    (result,) = project.graded().values()
    assert result["score"] == 5


SLOW = """
import time
import pytest
from dojo import level

@pytest.mark.timeout(60)
@level(1, "slow")
def test_slow(impl):
    time.sleep(2)
    assert impl.double(2) == 4
"""


@pytest.mark.parametrize(("tests", "found"), [(SLOW, "passed"), (f"{SLOW}time.sleep(60)", "harness error")])
def test_a_kata_may_take_as_long_as_its_tests_together(project, right, tests, found):
    """A file that hangs before it has said which tests there are is ended all the same."""
    warm = project.root / "dojo" / "running" / "limits.py"
    warm.write_text(warm.read_text().replace("LONGEST = 600", "LONGEST = 1"))
    project.kata("double", tests, numpy=right)
    (result,) = project.graded().values()
    assert result["state"] == found
    assert found == "passed" or "ran too long" in messages(result)[0]


def test_no_temporary_file_outlives_its_run(fork, project, right, tmp_path_factory):
    """A killed child cleans up as little as one that ends by itself."""
    leave = "import tempfile\n\ntempfile.mkdtemp()\n"
    project.kata("double", numpy=leave + right)
    project.kata("quadruple", numpy=leave + LEAVE)
    temporary = tmp_path_factory.mktemp("temporary")
    done = project.run("-m", "dojo", "check", TMPDIR=str(temporary))
    assert "double" in done.stdout
    assert not list(temporary.iterdir())


def test_none_outlives_its_driver(fork, project):
    project.kata("double", numpy=LOOP)
    mark = f"DOJO_TEST_{os.getpid()}_{time.monotonic_ns()}"
    driver = subprocess.Popen(
        [sys.executable, "-m", "dojo", "check"],
        cwd=project.root,
        env=os.environ | {"DOJO_TEST_MARK": mark, "PYTHONPATH": ""},
        stdout=subprocess.DEVNULL,
    )

    def family():
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("DOJO_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    wait_until(lambda: len(family()) >= 3, "the driver, the warm process and its child")
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_until(lambda: not family(), "no process is left")


def wait_until(holds, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {seconds} s not yet: {what}"
        time.sleep(0.1)
