"""`python -m dojo check`: the board, the verdicts, what to do next, and the exit status."""

import textwrap

import psutil
import pytest

from dojo.curriculum.frameworks import FRAMEWORKS
from dojo.grading import State, TestResult, grade
from dojo.report.board import counted


@pytest.fixture
def two(project, stub):
    """Two katas, nothing started; `triple` comes after `double`."""
    project.kata("double", numpy=stub, torch=stub)
    project.kata("triple", meta='after = ["double"]\n', numpy=stub)
    return project


def test_a_fresh_clone_shows_the_board_and_the_next_step(two):
    done = two.run("-m", "dojo", "check")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert "Basics" in said
    assert "3 not started; 0 of 17 points" in said
    assert "Next: begin double (The double, about 5 minutes): open katas/basics/double/double_numpy.py" in said


def test_a_failing_kata_gives_status_one_and_its_verdict(two):
    two.kata("double", numpy="def double(x):\n    return x\n")
    done = two.run("-m", "dojo", "check")
    assert done.returncode == 1
    assert "every entry is doubled" in done.stdout
    assert "Next: go on with double" in done.stdout


def test_a_solved_kata_opens_the_one_that_comes_after(two, right):
    two.kata("double", numpy=right)
    done = two.run("-m", "dojo", "check")
    assert done.returncode == 0
    assert "✓ 5 of 5" in done.stdout
    assert "Next: begin triple" in done.stdout


def test_named_katas_alone_are_graded_like_pytest_does(two, right):
    two.kata("double", numpy=right)
    graded = two.graded("double")
    assert graded.keys() == {("double", "numpy")}
    assert graded["double", "numpy"]["state"] == "passed"


def test_a_kata_whose_tests_cannot_be_read_is_nobodys_fault(two, right):
    two.kata("double", tests="import no_such_module\n", numpy=right)
    graded = two.graded("double")
    assert graded["double", "numpy"]["state"] == "harness error"
    assert "no_such_module" in graded["double", "numpy"]["levels"][0]["tests"][0]["message"]


def test_a_handed_in_tree_is_graded_beside_the_stubs(two, right):
    two.write("handed_in/basics/double/double_numpy.py", right)
    assert two.graded("--impl=handed_in", "double")["double", "numpy"]["state"] == "passed"


def test_a_child_that_outlives_its_kata_is_ended(two):
    stub = """
        import subprocess, sys

        def double(x):
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)  # the dojo test sleeper"])
            return x + x
    """
    two.kata("double", numpy=textwrap.dedent(stub))
    assert two.graded("double")["double", "numpy"]["state"] == "passed"
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if "the dojo test sleeper" in line]


def test_torch_katas_run_in_their_own_warm_process(two, right):
    two.kata("double", numpy=right, torch=right)
    graded = two.graded("double")
    assert {key: result["state"] for key, result in graded.items()} == {
        ("double", "numpy"): "passed",
        ("double", "torch"): "passed",
    }


class TestBoard:
    """180 katas in 20 tracks, a few of them started."""

    STARTED = ("kata_000", "kata_001", "kata_050", "kata_100", "kata_101", "kata_102", "kata_103", "kata_150")

    @pytest.fixture(scope="class")
    def many(self, shared_project, many_katas, right):
        many_katas(shared_project, tracks=20, katas=9)
        for slug in self.STARTED:
            (file,) = shared_project.root.glob(f"katas/*/{slug}/{slug}_numpy.py")
            file.write_text(right)
        file.write_text("def double(x):\n    return x\n")  # kata_150
        shared_project.run("-m", "dojo", "check")
        return shared_project

    def show(self, project, *args, columns=80):
        """The lines of the board, without the verdict above them."""
        done = project.run("-m", "dojo", "check", *args, COLUMNS=str(columns))
        assert not done.stderr
        return done.stdout.partition("look at")[2].partition("\n\n")[2].splitlines()

    def test_it_fits_a_small_terminal_and_says_what_it_leaves_out(self, many):
        lines = self.show(many)
        assert len(lines) <= 23
        assert max(map(len, lines)) <= 80
        text = "\n".join(lines)
        assert all(f"track_{number:02}" in text for number in range(20))
        assert "started, 7 of 8 (check -- --all)" in text or "started, 6 of 8 (check -- --all)" in text
        assert any(line.startswith("kata_150") and "✗ 1 of 5" in line for line in lines), (
            "what is not solved comes first"
        )
        assert "✓ solved  ★ mastered  ✗ not solved  ○ not started" in text
        assert sum(line.startswith("Next: go on with kata_150") for line in lines) == 1

    def test_a_line_per_track_counts_what_is_solved_and_held(self, many):
        (line,) = (line for line in self.show(many) if line.startswith("track_00"))
        assert line.split()[:5] == ["track_00", "2/9", "2", "10/45", "░░░░"]

    def test_totals_count_only_the_framework_that_is_started(self, many):
        assert any(line.endswith("; 36 of 900 points") for line in self.show(many))

    def test_few_tracks_stand_one_below_the_other(self, two, right):
        two.kata("double", numpy=right)
        lines = two.run("-m", "dojo", "check", COLUMNS="80").stdout.strip().splitlines()
        assert lines[0].split() == ["track", "solved", "mastered", "points"]
        assert lines[1].split() == ["basics", "1", "of", "2", "1", "5", "of", "10", "██████░░░░░░"]

    def test_a_wide_terminal_shows_titles_difficulty_and_minutes(self, many):
        (row,) = (line for line in self.show(many, columns=100) if line.startswith("kata_000"))
        assert row.split()[-5:] == ["The", "kata", "0", "2", "35"]
        (row,) = (line for line in self.show(many, columns=99) if line.startswith("kata_000"))
        assert row.split() == ["kata_000", "✓", "5", "of", "5", "★"]

    @pytest.mark.parametrize("name", ["track_05", "TRACK_05", "All of track_05"])
    def test_the_board_of_a_track_has_each_of_its_katas_and_no_other(self, many, name):
        done = many.run("-m", "dojo", "check", "--board", name, COLUMNS="80")
        lines = done.stdout.splitlines()
        assert lines[0] == "All of track_05"
        assert [line.split()[0] for line in lines if line.startswith("kata_")] == [
            f"kata_{n:03}" for n in range(45, 54)
        ]
        (row,) = (line for line in lines if line.startswith("kata_050"))
        assert "✓ 5 of 5 ★" in row
        assert done.returncode == 1, "kata_150 fails, as it does without --board"

    @pytest.mark.parametrize("name", ["track_5", "track", "theory"])
    def test_a_track_that_is_unknown_or_one_of_several_is_refused_with_their_names(self, many, name):
        done = many.run("-m", "dojo", "check", "--board", name)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert repr(name) in line
        assert all(f"track_{number:02}" in line for number in range(20))

    def test_all_katas_stand_side_by_side_where_there_is_room(self, many):
        narrow, wide = (self.show(many, "--all", columns=columns) for columns in (40, 120))
        for lines in (narrow, wide):
            shown = [word for line in lines for word in line.split() if word.startswith("kata_")]
            assert sorted(shown) == [f"kata_{number:03}" for number in range(180)]
        assert len(wide) < len(narrow)
        assert any("★ kata_000" in line and "○ kata_003" in line for line in wide)
        assert any("✗ kata_150" in line for line in wide)

    def test_a_solved_kata_that_is_not_mastered_has_no_star(self, two, doubling_tests):
        beyond = doubling_tests.replace('"large")', '"large", beyond=True)')
        two.kata("double", beyond, numpy="def double(x):\n    return 2 * x if x.max() < 1e20 else x\n")
        done = two.run("-m", "dojo", "check", COLUMNS="80")
        (row,) = (line for line in done.stdout.splitlines() if line.startswith("double"))
        assert row.split() == ["double", "✓", "4", "of", "5"]
        assert done.returncode == 0


class TestCounted:
    """Which frameworks the totals count."""

    def results(self, **states):
        tests = {name: [TestResult("t", "it holds", 1, "first", 2, state=state)] for name, state in states.items()}
        return [grade("basics", "double", name, tests[name]) for name in tests]

    def test_those_that_are_started(self):
        results = self.results(numpy=State.NOT_STARTED, torch=State.FAILED, tensorflow=State.NOT_STARTED)
        assert counted(results, FRAMEWORKS) == ("torch",)

    def test_all_before_anything_is_started(self):
        results = self.results(numpy=State.NOT_STARTED, torch=State.NOT_STARTED, tensorflow=State.NOT_STARTED)
        assert counted(results, FRAMEWORKS) == FRAMEWORKS

    def test_those_that_dojo_toml_names_where_it_leaves_one_out(self):
        results = self.results(numpy=State.NOT_STARTED, torch=State.FAILED)
        assert counted(results, ("numpy", "torch")) == ("numpy", "torch")

    def test_none_that_is_not_installed(self):
        results = self.results(numpy=State.NOT_STARTED, torch=State.SKIPPED)
        assert counted(results, FRAMEWORKS) == ("numpy",)
