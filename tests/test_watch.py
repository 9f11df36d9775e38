"""Watching: a save is checked at once, whatever way it was saved."""

import os
import queue
import subprocess
import sys
import threading
import time

import pytest


class Watcher:
    """A running `python -m dojo watch`, and what it has said so far."""

    def __init__(self, project, *args, stdin=subprocess.DEVNULL):
        environment = os.environ | {"COLUMNS": "120", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dojo", "watch", *args],
            cwd=project.root,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for("watching")
        time.sleep(2)  # the watcher needs a moment to begin

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def wait_for(self, text, seconds=60):
        """Everything said until a line holds `text`."""
        said, deadline = [], time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                said.append(self.lines.get(timeout=0.2))
            except queue.Empty:
                continue
            if text in said[-1]:
                return "".join(said)
        raise AssertionError(f"never said {text!r}, only:\n{''.join(said)}")

    def is_silent(self, seconds=2):
        time.sleep(seconds)
        return self.lines.empty()


@pytest.fixture
def watched(project, stub):
    project.kata("double", numpy=stub)
    watcher = Watcher(project)
    yield project, watcher
    watcher.process.kill()
    watcher.process.wait()


def save(project, text):
    return project.write("katas/basics/double/double_numpy.py", text)


def test_a_save_is_checked(watched, right):
    project, watcher = watched
    save(project, right)
    said = watcher.wait_for("after the save")
    assert "checking double in numpy" in said
    assert "5 of 5 points" in said


def test_each_save_is_checked_anew(watched, right):
    project, watcher = watched
    save(project, "def double(x):\n    return x\n")
    assert "every entry is doubled" in watcher.wait_for("Next: level 2")
    save(project, right)
    assert "5 of 5 points" in watcher.wait_for("after the save")


def test_a_save_by_rename_is_checked(watched, right):
    project, watcher = watched
    draft = project.write("katas/basics/double/.double_numpy.py.swp", right)
    os.replace(draft, project.root / "katas/basics/double/double_numpy.py")
    assert "5 of 5 points" in watcher.wait_for("after the save")


def test_two_saves_in_a_second_end_with_the_verdict_on_the_last(watched, right):
    project, watcher = watched
    save(project, "import time\n\ndef double(x):\n    time.sleep(5)\n    return x\n")
    watcher.wait_for("checking")
    save(project, right)
    said = watcher.wait_for("after the save")
    assert "5 of 5 points" in said
    assert watcher.is_silent()


def test_a_half_written_file_gets_a_verdict_in_words(watched, right):
    project, watcher = watched
    save(project, "def double(x:\n")
    assert "does not parse" in watcher.wait_for("after the save")
    save(project, right)
    assert "5 of 5 points" in watcher.wait_for("after the save")


def test_a_deleted_file_is_no_accident(watched, right):
    project, watcher = watched
    (project.root / "katas/basics/double/double_numpy.py").unlink()
    assert watcher.is_silent()
    save(project, right)
    assert "5 of 5 points" in watcher.wait_for("after the save")


def test_it_can_end_after_one_verdict(project, right):
    project.kata("double", numpy=right)
    watcher = Watcher(project, "double", "--once")
    assert "5 of 5 points" in watcher.wait_for("after the save")
    assert watcher.process.wait(timeout=20) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="keys are sent through a pseudo-terminal, which Windows lacks")
def test_the_keys_give_a_hint_the_next_kata_another_run_the_difference_and_the_end(project, stub, right):
    hints = '[hints]\n1 = ["What is the shape?"]\n2 = ["Twice."]\n3 = ["Two."]\n4 = ["Large."]\n'
    project.kata("double", meta=hints, numpy=stub)
    project.write("solutions/basics/double/double_numpy.py", right)
    terminal, its_end = os.openpty()
    watcher = Watcher(project, stdin=its_end)

    def press(key):
        os.write(terminal, key.encode())

    try:
        press("h")
        watcher.wait_for("Nothing was checked yet")
        save(project, "def double(x):\n    return x\n")
        watcher.wait_for("after the save")
        press("h")
        watcher.wait_for("hint 1 of 1, level 2: Twice.")
        press("n")
        watcher.wait_for("go on with double")
        press("d")
        watcher.wait_for("The solution is shown once all levels pass.")
        save(project, "def double(x):\n    return 2 * x\n")
        assert "5 of 5 points" in watcher.wait_for("after the save")
        press("r")
        assert "5 of 5 points" in watcher.wait_for("after the save")
        press("d")
        watcher.wait_for("+    return x + x")
        press("q")
        assert watcher.process.wait(timeout=20) == 0
    finally:
        watcher.process.kill()
        watcher.process.wait()
        os.close(terminal)
        os.close(its_end)
