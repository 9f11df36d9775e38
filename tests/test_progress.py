"""The progress file: what it remembers, and what happens to it when things go wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from xml.etree import ElementTree

import pytest

from dojo.curriculum.katas import Catalog
from dojo.curriculum.mistakes import apply, read_mistakes
from dojo.errors import DojoError
from dojo.grading import State, TestResult, grade, to_json
from dojo.learner.progress import Progress, Store
from tools.project_copy import copy_project


def a_result(state: State, slug: str = "double"):
    return grade("basics", slug, "numpy", [TestResult("t", "it holds", 1, "first", 2, state=state)])


def git(project, *args):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *args], cwd=project.root, check=True)


class TestMemory:
    def test_a_result_is_recalled_under_its_own_key_only(self):
        progress = Progress()
        progress.remember(a_result(State.PASSED), "one")
        assert progress.recall("double", "numpy", "one").state is State.PASSED
        assert progress.recall("double", "numpy", "other") is None
        assert progress.recall("triple", "numpy", "one") is None

    def test_what_passed_and_now_fails_is_reopened(self):
        progress = Progress()
        progress.remember(a_result(State.FAILED), "one")
        assert not progress.reopened(a_result(State.FAILED))
        progress.remember(a_result(State.PASSED), "two")
        assert progress.reopened(a_result(State.FAILED))

    def test_a_harness_error_is_not_remembered(self):
        progress = Progress()
        progress.remember(a_result(State.ERROR), "one")
        assert progress.recall("double", "numpy", "one") is None

    def test_the_history_notes_changes_of_the_score(self):
        progress = Progress()
        for state in (State.FAILED, State.FAILED, State.PASSED, State.PASSED):
            progress.remember(a_result(state), "mark")
        assert [change["score"] for change in progress.entry("double", "numpy").history] == [0, 2]

    def test_hints_are_counted_up_to_their_number(self):
        progress = Progress()
        assert [progress.show_hint("double", 1, 2) for _ in range(3)] == [1, 2, 2]


class TestFile:
    @pytest.fixture
    def store(self, tmp_path):
        return Store(tmp_path / "progress.json")

    def test_it_holds_what_was_remembered(self, store):
        with store.editing() as progress:
            progress.remember(a_result(State.PASSED), "mark")
            progress.show_hint("double", 1, 3)
            progress.give_up("triple")
        read = store.read()
        assert read.recall("double", "numpy", "mark").score == 2
        assert read.hints == {"double": {"1": 1}}
        assert list(read.given_up) == ["triple"]

    @pytest.mark.parametrize("content", ["{", "[]", '{"schema": 99}', '{"schema": 1}', "\x00\x01", "null"])
    def test_a_broken_file_is_set_aside_with_a_sentence(self, store, content):
        store.path.write_text(content)
        progress = store.read()
        assert "could not be read; it is kept as" in progress.notice
        assert [path.read_text() for path in store.path.parent.glob("progress-broken-*.json")] == [content]
        with store.editing() as progress:
            progress.give_up("double")
        assert list(store.read().given_up) == ["double"]

    @pytest.mark.parametrize(
        "summary",
        [{"state": "passed"}, {"state": "splendid"}, {"score": 2}, "passed"],
        ids=["short", "word", "none", "text"],
    )
    def test_a_file_with_an_unknown_summary_is_broken_too(self, store, summary):
        entry = {"key": "mark", "summary": summary}
        content = {"schema": 2, "entries": {"double/numpy": entry}, "hints": {}, "given_up": {}, "interviews": []}
        store.path.write_text(json.dumps(content))
        assert "could not be read" in store.read().notice

    def test_it_stays_small_and_gives_back_every_test(self, store):
        tests = [TestResult(f"t{number}", "it holds", 1, "first", 2, state=State.PASSED) for number in range(500)]
        tests.append(TestResult("last", "it ends", 2, "second", 3, True, State.FAILED, message="no", where="f.py:3"))
        result = grade("basics", "double", "numpy", tests, "stopped: a remark")
        with store.editing() as progress:
            progress.remember(result, "mark")
        assert store.path.stat().st_size < 1000
        read = store.read().recall("double", "numpy", "mark")
        facts = ("track", "slug", "framework", "state", "solved", "mastered", "score", "total", "message")
        assert [getattr(read, name) for name in facts] == [getattr(result, name) for name in facts]
        assert to_json([read]) == to_json([result])

    def test_a_result_whose_levels_are_gone_is_not_recalled(self, store):
        with store.editing() as progress:
            progress.remember(a_result(State.PASSED), "mark")
        (file,) = store.results.iterdir()
        file.write_text("{")
        with pytest.raises(DojoError, match="cannot be read: delete it"):
            _ = store.read().recall("double", "numpy", "mark").levels
        file.unlink()
        assert store.read().recall("double", "numpy", "mark") is None
        assert store.read().last_result("double", "numpy") is None

    def test_a_file_of_schema_1_is_read_and_written_as_schema_2(self, store):
        """It kept whole results, under a key named fingerprint that stands for nothing today."""
        result = to_json([a_result(State.PASSED)]) | {"schema": 1}
        for level in (level for kata in result["katas"] for level in kata["levels"]):
            del level["beyond"], level["tests"][0]["beyond"]
        history = [{"at": "2026-01-02T12:00:00+00:00", "score": 2, "total": 2}]
        entry = {
            "fingerprint": "mark",
            "result": result,
            "passed_once": True,
            "seconds": 60.0,
            "last_run": 1.0,
            "runs": 3,
        }
        never = {"fingerprint": "", "result": {}, "passed_once": False, "seconds": 0.0, "last_run": 0.0, "runs": 0}
        entries = {"double/numpy": entry | {"history": history}, "triple/numpy": never | {"history": []}}
        rest = {"hints": {"double": {"1": 1}}, "given_up": {"triple": "2026-01-02"}, "interviews": [{"kata": "double"}]}
        store.path.write_text(json.dumps({"schema": 1, "entries": entries, **rest}))

        def holds(progress):
            assert not progress.notice
            assert progress.last_result("double", "numpy").solved
            assert progress.last_result("double", "numpy").levels[0].tests[0].name == "it holds"
            assert progress.last_result("triple", "numpy") is None
            assert progress.recall("double", "numpy", "mark") is None
            assert progress.reopened(a_result(State.FAILED))
            assert progress.entry("double", "numpy").history == history
            assert (progress.hints, progress.given_up, progress.interviews) == tuple(rest.values())

        holds(store.read())
        with store.editing():
            pass
        assert json.loads(store.path.read_text())["schema"] == 2
        holds(store.read())

    def test_many_writers_at_once_lose_nothing(self, store):
        def write(number):
            with store.editing() as progress:
                progress.give_up(f"kata {number}")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.read().given_up) == 20

    def test_an_exception_while_editing_changes_nothing(self, store):
        with store.editing() as progress:
            progress.give_up("double")
        with pytest.raises(RuntimeError), store.editing() as progress:
            progress.give_up("triple")
            raise RuntimeError
        assert list(store.read().given_up) == ["double"]


class TestCommands:
    """The verbs that read and write it."""

    HINTS = (
        '[hints]\n1 = ["What is the shape?", "The same as that of x."]\n2 = ["Twice."]\n3 = ["Two."]\n4 = ["Large."]\n'
    )

    @pytest.fixture
    def begun(self, project, stub, right):
        project.kata("double", meta=self.HINTS, numpy=stub, torch=stub)
        project.kata("triple", meta='after = ["double"]\n', numpy=stub)
        project.write("solutions/basics/double/double_numpy.py", right)
        project.write("solutions/basics/double/answer.md", "# Double\n\nAdd it to itself.\n")
        project.write(".gitignore", "__pycache__/\n.dojo/\n")
        git(project, "init", "-q")
        git(project, "add", "-A")
        git(project, "commit", "-qm", "as it came")
        return project

    def write(self, project, text):
        return project.write("katas/basics/double/double_numpy.py", text)

    def dojo(self, project, *args):
        done = project.run("-m", "dojo", *args)
        assert "Traceback" not in done.stderr, done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def test_an_unchanged_kata_does_not_run_again(self, begun):
        self.write(
            begun, "from pathlib import Path\nPath('runs').open('a').write('x')\n\ndef double(x):\n    return 2 * x\n"
        )
        assert "✓ 5 of 5" in self.dojo(begun, "check")
        assert "✓ 5 of 5" in self.dojo(begun, "check")
        assert (begun.root / "runs").read_text() == "x"
        self.dojo(begun, "check", "--again")
        assert (begun.root / "runs").read_text() == "xx"

    def test_a_result_that_is_recalled_is_as_whole_as_a_fresh_one(self, begun):
        self.write(begun, "def double(x):\n    return x if x.ndim > 1 else x + x\n")
        self.dojo(begun, "check", "--report=fresh.json", "--junit=fresh.xml")
        said = self.dojo(begun, "check", "--report=again.json", "--junit=again.xml")
        assert "every entry is doubled" in said
        for kind in ("json", "xml"):
            assert (begun.root / f"again.{kind}").read_text() == (begun.root / f"fresh.{kind}").read_text()

    def test_a_mistake_that_is_explained_anew_is_told_anew(self, tmp_path):
        project = tmp_path / "dojo"
        copy_project(project, None)
        kata = Catalog(project / "katas").find("softmax")
        solution = kata.implementation("numpy", project / "solutions")
        mistake = next(each for each in read_mistakes(kata, project / "solutions") if each.framework == "numpy")
        written = apply(mistake, solution.read_text(encoding="utf-8"), solution.name)
        kata.implementation("numpy", project / "katas").write_text(written, encoding="utf-8")

        def check():
            command = [sys.executable, "-m", "dojo", "check", "softmax", "--framework=numpy"]
            said = subprocess.run(
                command, cwd=project, capture_output=True, text=True, env=os.environ | {"COLUMNS": "400"}
            )
            return said.stdout

        assert mistake.says in check()
        file = solution.with_name("mistakes.toml")
        text = file.read_text(encoding="utf-8").replace(mistake.says, "This is said in other words.")
        file.write_text(text, encoding="utf-8")
        said = check()
        assert "This is said in other words." in said
        assert mistake.says not in said

    @pytest.mark.parametrize("command", [("-m", "dojo", "check"), ("-m", "pytest", "-k", "double")], ids=lambda c: c[1])
    def test_a_save_during_a_run_does_not_pass_for_what_was_run(self, begun, command):
        broken = "def double(x):\n    return x\n"
        write = f"from pathlib import Path\nPath(__file__).write_text({broken!r})\n"
        self.write(begun, f"{write}\ndef double(x):\n    return 2 * x\n")
        assert "5 of 5" in begun.run(*command).stdout
        assert "4 of 5" not in (said := self.dojo(begun, "check"))
        assert "every entry is doubled" in said

    def test_a_kata_that_passed_and_now_fails_says_so(self, begun, right):
        self.write(begun, right)
        self.dojo(begun, "check")
        self.write(begun, "def double(x):\n    return x\n")
        assert "double in numpy passed before, and does not now." in self.dojo(begun, "check")

    def test_hints_come_one_by_one_for_the_level_where_one_stands(self, begun):
        assert "hint 1 of 2, level 1: What is the shape?" in self.dojo(begun, "hint", "double")
        assert "hint 2 of 2, level 1: The same as that of x." in self.dojo(begun, "hint", "double")
        self.write(begun, "def double(x):\n    return x\n")
        begun.pytest("-k", "double")
        assert "hint 1 of 1, level 2: Twice." in self.dojo(begun, "hint", "double")

    def test_next_goes_on_with_what_is_begun_and_says_why(self, begun):
        assert "begin double" in self.dojo(begun, "next")
        self.write(begun, "def double(x):\n    return x\n")
        begun.pytest("-k", "double")
        assert "go on with double" in (said := self.dojo(begun, "next"))
        assert "You have begun it and stand at level 2, values." in said

    def test_reset_puts_the_stub_back_and_keeps_what_was_written(self, begun, stub):
        file = self.write(begun, "def double(x):\n    return 'mine'\n")
        said = self.dojo(begun, "reset", "double")
        assert file.read_text() == stub
        (kept,) = (begun.root / ".dojo" / "kept").iterdir()
        assert "mine" in kept.read_text()
        assert kept.name in said
        assert "Nothing of double is begun" in self.dojo(begun, "reset", "double")

    def test_reset_finds_the_stub_even_when_ones_work_was_committed(self, begun, stub):
        file = self.write(begun, "def double(x):\n    return 'mine'\n")
        git(begun, "commit", "-qam", "my work")
        self.dojo(begun, "reset", "double")
        assert file.read_text() == stub

    def test_show_keeps_the_solution_back_until_it_is_earned(self, begun, right):
        assert "Add it to itself" not in self.dojo(begun, "show", "double")
        self.write(begun, right)
        self.dojo(begun, "check", "double")
        assert "Add it to itself" in self.dojo(begun, "show", "double")

    def test_giving_up_shows_it_and_is_remembered_on_the_board(self, begun):
        assert "Add it to itself" in self.dojo(begun, "show", "double", "--give-up")
        assert "double (solution seen)" in self.dojo(begun, "check")

    @pytest.mark.parametrize("verb", ["hint", "show", "reset"])
    def test_an_unknown_kata_gets_a_near_name(self, begun, verb):
        assert "Did you mean double?" in self.dojo(begun, verb, "dubble")

    def test_the_report_is_one_page_with_every_kata(self, begun, right):
        self.write(begun, right)
        self.dojo(begun, "check")
        self.dojo(begun, "report", "--junit=all.xml", "--report=all.json")
        page = (begun.root / ".dojo" / "report.html").read_text()
        assert "The double" in page
        assert "passed, 5 of 5" in page
        assert "http" not in page.replace("http-equiv", "")
        assert json.loads((begun.root / "all.json").read_text())["schema"] == 2

    def test_junit_gives_every_test_its_points_skipped_ones_too(self, begun):
        self.write(begun, "def double(x):\n    return x\n")
        self.dojo(begun, "check", "double", "--framework=numpy", "--junit=all.xml")
        (suite,) = ElementTree.parse(begun.root / "all.xml").getroot()
        cases = {
            case.get("name"): (
                [child.tag for child in case if child.tag != "properties"],
                {entry.get("name"): entry.get("value") for entry in case.iter("property")},
            )
            for case in suite.iter("testcase")
        }
        assert cases["every entry is doubled"][0] == ["failure"]
        assert cases["every entry is doubled"][1]["points"] == "3"
        assert cases["large entries"][0] == ["skipped"]
        assert cases["large entries"][1] == {"level": "4", "title": "large", "points": "1", "state": "locked"}
        assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
            "tests": "4",
            "failures": "1",
            "skipped": "1",
        }

    def test_junit_tells_what_is_solved_and_calls_no_beyond_level_a_failure(self, begun, doubling_tests):
        begun.kata("double", doubling_tests.replace('"large")', '"large", beyond=True)'), numpy="")
        self.write(begun, "def double(x):\n    return 2 * x if x.max() < 1e20 else x\n")
        said = self.dojo(begun, "check", "double", "--framework=numpy", "--junit=all.xml")
        assert "✓ double in numpy 4 of 5 points solved" in said
        assert "✗ level 4 large 1 point, beyond, failed" in said
        (suite,) = ElementTree.parse(begun.root / "all.xml").getroot()
        properties = {entry.get("name"): entry.get("value") for entry in suite.find("properties")}
        assert properties == {"state": "passed", "solved": "true", "mastered": "false", "score": "4", "total": "5"}
        assert {name: suite.get(name) for name in ("failures", "skipped")} == {"failures": "0", "skipped": "1"}
        (case,) = (case for case in suite.iter("testcase") if case.get("name") == "large entries")
        assert {entry.get("name"): entry.get("value") for entry in case.iter("property")}["beyond"] == "true"
        assert "2e+30" in case.find("skipped").get("message")

    def test_an_interview_ends_when_every_level_passes(self, begun, right):
        done = {}

        def hold():
            done["said"] = self.dojo(begun, "interview", "--minutes=1", "--framework=numpy", "--track=basics")

        begun.kata("triple", numpy=right)  # solved, so it is not chosen
        self.dojo(begun, "check")
        thread = threading.Thread(target=hold)
        thread.start()
        pattern = ".dojo/interviews/*/basics/double/double_numpy.py"
        while not (files := list(begun.root.glob(pattern))) and thread.is_alive():
            time.sleep(0.1)
        while thread.is_alive():  # the watcher needs a moment to begin: save until it has seen one
            files[0].write_text(right)
            thread.join(timeout=5)
        assert "points 5 of 5" in done["said"]
        assert Store(begun.root / ".dojo" / "progress.json").read().interviews[0]["score"] == 5

    def begin_interview(self, project, minutes):
        process = subprocess.Popen(
            [sys.executable, "-m", "dojo", "interview", f"--minutes={minutes}", "--framework=numpy"],
            cwd=project.root,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert "minutes from now" in process.stdout.readline()
        return process

    def scorecards(self, project):
        return Store(project.root / ".dojo" / "progress.json").read().interviews

    def test_an_interview_ends_when_its_time_is_over(self, begun):
        said, _ = self.begin_interview(begun, 0.05).communicate(timeout=60)
        assert "The time is over." in said
        (card,) = self.scorecards(begun)
        assert (card["score"], card["total"], card["runs"], card["seconds"]) == (0, 5, 0, 3)

    def test_an_interview_broken_off_keeps_its_scorecard(self, begun):
        process = self.begin_interview(begun, 30)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert "Traceback" not in said
        assert "points  0 of 5" in said
        (card,) = self.scorecards(begun)
        assert (card["score"], card["minutes"]) == (0, 30)

    @pytest.mark.parametrize(
        ("args", "told"),
        [
            (["--track=basic"], "There is no track 'basic'. Did you mean basics?"),
            (["--difficulty=5"], "No unsolved kata fits."),
            (["--minutes=0"], "too short"),
        ],
    )
    def test_a_wish_that_nothing_fits_is_told(self, begun, args, told):
        assert told in self.dojo(begun, "interview", *args)
