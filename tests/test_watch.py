"""Watching: a save is checked at once, whatever way it was saved."""

import os
import subprocess
import sys
import time

import pytest

from dojo.learner.interview import Clock

pexpect = pytest.importorskip("pexpect")
if sys.platform == "win32":
    pytest.skip("these tests need a pseudo-terminal, which Windows lacks", allow_module_level=True)


AUTHOR = ("-c", "user.name=dojo", "-c", "user.email=dojo@localhost")


class Command:
    """A running verb of dojo on a terminal of its own."""

    def __init__(self, project, *args):
        environment = os.environ | {"COLUMNS": "120", "OMP_NUM_THREADS": "1", "TERM": "dumb"}
        arguments = ["-m", "dojo", *args]
        self.process = pexpect.spawn(
            sys.executable, arguments, cwd=project.root, env=environment, encoding="utf-8", timeout=60
        )

    def wait_for(self, text):
        """Everything said until a line holds `text`, and that line."""
        self.process.expect_exact(text)
        said = self.process.before + text
        self.process.expect_exact("\r\n")
        return said + self.process.before

    def is_silent(self, seconds=2):
        return self.process.expect([pexpect.TIMEOUT, "."], timeout=seconds) == 0

    def press(self, key):
        self.process.send(key)

    def ended(self):
        self.process.expect(pexpect.EOF)
        return self.process.wait() == 0


@pytest.fixture
def start(project):
    """start(VERB, …): a running command, which ends with the test."""
    started = []

    def start(*args):
        started.append(Command(project, *args))
        return started[-1]

    yield start
    for command in started:
        command.process.close(force=True)


@pytest.fixture
def watch(start):
    """watch(KATA, …): a session that is ready for a save."""

    def watch(*args):
        watcher = start("watch", *args)
        watcher.wait_for("q quit")
        return watcher

    return watch


@pytest.fixture
def watched(project, stub, watch):
    project.kata("double", numpy=stub)
    return project, watch()


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


def test_a_save_of_another_kata_is_ignored(project, watch, stub, right):
    project.kata("double", numpy=stub)
    project.kata("triple", numpy=stub)
    watcher = watch("triple")
    save(project, right)
    assert watcher.is_silent()


def test_a_save_of_the_tests_checks_only_what_is_started(project, watch, stub, right, doubling_tests):
    project.kata("double", numpy=right, torch=stub)
    watcher = watch()
    project.write("katas/basics/double/test_double.py", doubling_tests + "\n")
    assert "checking double in numpy" in watcher.wait_for("after the save")
    assert watcher.is_silent()


def test_it_can_end_after_one_verdict_also_without_a_terminal(project, right):
    project.kata("double", numpy=right)
    done = project.run("-m", "dojo", "watch", "double", "--once")
    assert "5 of 5 points" in done.stdout
    assert "q quit" not in done.stdout
    assert done.returncode == 0


def test_what_lies_beyond_is_named_once_the_kata_is_solved(project, watch, stub, doubling_tests):
    project.kata("double", tests=doubling_tests.replace('"large")', '"large", beyond=True)'), numpy=stub)
    watcher = watch()
    save(project, "def double(x):\n    return 2 * x if x.max() < 1e20 else x\n")
    watcher.wait_for("Solved. Beyond: level 4, large.")


def test_the_keys_give_a_hint_the_next_kata_another_run_the_difference_and_the_end(project, watch, stub, right):
    hints = '[hints]\n1 = ["What is the shape?"]\n2 = ["Twice."]\n3 = ["Two."]\n4 = ["Large."]\n'
    project.kata("double", meta=hints, numpy=stub)
    project.write("solutions/basics/double/double_numpy.py", right)
    watcher = watch()
    watcher.press("h")
    watcher.wait_for("Nothing was checked yet")
    save(project, "def double(x):\n    return x\n")
    watcher.wait_for("after the save")
    watcher.press("h")
    watcher.wait_for("hint 1 of 1, level 2: Twice.")
    watcher.press("n")
    watcher.wait_for("go on with double")
    watcher.press("d")
    watcher.wait_for("The solution is shown once the kata is solved.")
    save(project, "def double(x):\n    return 2 * x\n")
    assert "5 of 5 points" in watcher.wait_for("after the save")
    watcher.press("r")
    assert "5 of 5 points" in watcher.wait_for("after the save")
    watcher.press("d")
    watcher.wait_for("+    return x + x")
    watcher.press("q")
    assert watcher.ended()


def test_the_terminal_echoes_again_after_the_end(project, watch, stub):
    project.kata("double", numpy=stub)
    watcher = watch()
    assert not watcher.process.getecho()
    watcher.press("q")
    assert watcher.ended()
    assert watcher.process.getecho()


def test_an_interview_is_about_the_interview_levels_and_ends_when_they_pass(project, start, stub, doubling_tests):
    hints = '[hints]\n1 = ["What is the shape?"]\n2 = ["Twice."]\n'
    project.kata("double", tests=doubling_tests.replace('"large")', '"large", beyond=True)'), meta=hints, numpy=stub)
    for command in (["init", "-q"], ["add", "katas"], [*AUTHOR, "commit", "-qm", "stubs"]):
        subprocess.run(["git", *command], cwd=project.root, check=True)
    interview = start("interview", "--framework=numpy")
    interview.wait_for("45 minutes from now")
    interview.wait_for("h hint · r run again · q quit")
    (file,) = (project.root / ".dojo" / "interviews").glob("*/basics/double/double_numpy.py")
    file.write_text("def double(x):\n    return x\n")
    interview.wait_for("Next: level 2, values.")
    interview.press("h")
    interview.wait_for("hint, level 2: Twice.")
    file.write_text("def double(x):\n    return 2 * x if x.max() < 1e20 else x\n")
    interview.wait_for("Solved. Beyond: level 4, large.")
    card = interview.wait_for("hints ")
    card = " ".join(card.split())
    assert "points 4 of 4 levels 2 of 2" in card
    assert card.endswith("runs 2 hints 1")
    assert interview.ended()


class TestClock:
    @pytest.fixture
    def clock_at(self, monkeypatch):
        """clock_at(minutes): a clock of 12 minutes that has run so long."""
        clock = Clock(12)
        start = time.monotonic()

        def clock_at(minutes):
            monkeypatch.setattr(time, "monotonic", lambda: start + minutes * 60)
            return clock

        return clock_at

    def test_it_says_every_five_minutes_and_each_of_the_last_five_once(self, clock_at):
        said = [clock_at(tenth / 10).minutes_to_say() for tenth in range(131)]
        assert [minutes for minutes in said if minutes] == [10, 5, 4, 3, 2, 1]

    def test_the_time_is_up_at_the_end(self, clock_at):
        assert not clock_at(11.9).is_up
        assert clock_at(12.01).is_up
