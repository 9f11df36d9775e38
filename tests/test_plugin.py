"""What runs, in which order, in which frameworks, and what counts."""

import json

import pytest

STARTED_LATE = """
def double(x):
    return x + x if x.ndim == 1 else x
"""


@pytest.fixture
def doubled(project, stub):
    """A project with one kata, `double`, in three frameworks, nothing started."""
    project.kata("double", numpy=stub, torch=stub, tensorflow=stub)
    return project


def results(project, *args):
    report = project.root / "report.json"
    done = project.pytest(*args, f"--report={report}")
    assert report.exists(), done.stdout + done.stderr
    return {kata["framework"]: kata for kata in json.loads(report.read_text())["katas"]}


def states(result):
    return [level["state"] for level in result["levels"]]


class TestLevels:
    def test_a_level_after_a_failed_one_is_locked_and_keeps_its_points(self, doubled):
        doubled.kata("double", numpy=STARTED_LATE)
        result = results(doubled, "-k", "double")["numpy"]
        assert states(result) == ["passed", "failed", "locked"]
        assert (result["score"], result["total"]) == (1, 5)

    def test_all_levels_unlocks_but_scores_the_prefix_alone(self, doubled):
        doubled.kata("double", numpy=STARTED_LATE)
        result = results(doubled, "-k", "double", "--all-levels")["numpy"]
        assert states(result) == ["passed", "failed", "passed"]
        assert result["score"] == 1

    def test_locking_holds_under_xdist(self, doubled):
        doubled.kata("double", numpy=STARTED_LATE)
        result = results(doubled, "-p", "xdist", "-n", "2", "--dist", "loadfile", "katas")["numpy"]
        assert states(result) == ["passed", "failed", "locked"]

    def test_a_failure_in_one_framework_locks_nothing_in_another(self, doubled, right):
        doubled.kata("double", numpy=STARTED_LATE, torch=right)
        graded = results(doubled, "-k", "double")
        assert states(graded["numpy"]) == ["passed", "failed", "locked"]
        assert states(graded["torch"]) == ["passed"] * 4

    def test_levels_run_in_order_even_where_the_file_has_them_otherwise(self, project, right):
        tests = """
            from dojo import level

            @level(2, "second")
            def test_second(impl): assert False, "the second fails"

            @level(1, "first")
            def test_first(impl): assert False, "the first fails"
        """
        project.kata("double", tests=tests, numpy=right)
        assert states(results(project, "-k", "double")["numpy"]) == ["failed", "locked"]

    def test_a_level_that_needs_autograd_is_not_made_for_numpy(self, doubled, right):
        doubled.kata("double", numpy=right, torch=right)
        graded = results(doubled, "-k", "double")
        assert [level["number"] for level in graded["numpy"]["levels"]] == [1, 2, 4]
        assert (graded["numpy"]["total"], graded["torch"]["total"]) == (5, 7)

    def test_a_test_without_a_level_is_an_error_in_words(self, project, right):
        project.kata("double", tests="def test_it(impl): pass", numpy=right)
        done = project.pytest("-k", "double")
        assert "test_it has no level. Put one above it: @masks." in done.stdout + done.stderr


class TestFrameworks:
    def test_those_started_run_and_no_other(self, doubled, right):
        doubled.kata("double", numpy=right)
        assert list(results(doubled, "-k", "double")) == ["numpy"]

    def test_all_of_the_kata_run_when_none_is_started(self, doubled):
        graded = results(doubled, "-k", "double")
        assert {result["state"] for result in graded.values()} == {"not started"}
        assert list(graded) == ["numpy", "torch", "tensorflow"]

    def test_a_framework_that_dojo_toml_leaves_out_is_not_reported(self, doubled):
        doubled.write("dojo.toml", 'frameworks = ["numpy", "torch"]')
        assert list(results(doubled, "-k", "double")) == ["numpy", "torch"]

    def test_an_absent_framework_is_skipped_and_not_failed(self, doubled, right):
        doubled.kata("double", torch=right)
        doubled.write("sitecustomize.py", "import sys\nsys.modules['torch'] = None\n")
        report = doubled.root / "report.json"
        done = doubled.run("-m", "pytest", "-k", "double", f"--report={report}", PYTHONPATH=str(doubled.root))
        assert done.returncode == 0
        (result,) = json.loads(report.read_text())["katas"]
        assert result["state"] == "skipped"
        assert result["total"] == 0

    @pytest.mark.parametrize(("used", "unused"), [("numpy", ("torch", "tensorflow")), ("torch", ("tensorflow",))])
    def test_no_other_framework_is_imported(self, doubled, right, used, unused):
        doubled.kata("double", **{used: right})
        doubled.write("sitecustomize.py", f"import sys\nfor name in {unused!r}: sys.modules[name] = None\n")
        done = doubled.run("-m", "pytest", "-k", "double", PYTHONPATH=str(doubled.root))
        assert done.returncode == 0, done.stdout

    def test_a_gpu_test_is_skipped_with_the_reason_or_an_error_if_required(self, project, right):
        tests = """
            import pytest
            from dojo import level

            @level(1, "cpu")
            def test_it_runs(impl, fw): fw.close(impl.double(fw.array([1.0])), [2.0])

            @pytest.mark.gpu
            @level(1, "cpu")
            def test_it_runs_on_the_gpu(impl, gpu): gpu.check_device(impl.double(gpu.array([1.0])))
        """
        project.kata("double", tests=tests, torch=right)
        import torch

        if torch.cuda.is_available() or torch.backends.mps.is_available():
            pytest.skip("a GPU is present")
        result = results(project, "-k", "double")["torch"]
        assert result["state"] == "passed"
        assert "finds no GPU" in result["levels"][0]["tests"][1]["message"]
        result = results(project, "-k", "double", "--require-gpu")["torch"]
        assert result["state"] == "harness error"


class TestSelection:
    def test_an_exact_slug_imports_no_other_test_file(self, doubled, right):
        doubled.kata("double", numpy=right)
        doubled.kata("broken", tests="raise RuntimeError('imported')", numpy=right)
        assert "imported" in doubled.pytest("-k", "double or broken").stdout
        done = doubled.pytest("-k", "double")
        assert done.returncode == 0
        assert "imported" not in done.stdout

    @pytest.mark.parametrize(
        "paths", [[], ["katas"], ["katas/basics"], ["katas/basics/double", "katas/basics/redouble_it"]]
    )
    def test_a_slug_selects_its_kata_only_whatever_other_names_contain_it(self, project, right, paths):
        tests = """
            from dojo import level

            @level(1, "one")
            def test_it_is_no_redouble_it_and_no_triple(impl): assert impl.double(1) == 2
        """
        for slug in ("double", "redouble_it", "double_it", "triple"):
            project.kata(slug, tests=tests, numpy=right)
        for slug in ("double", "redouble_it", "triple"):
            done = project.pytest("--collect-only", "-q", "-k", slug, *(paths if slug != "triple" else paths[:1]))
            collected = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
            inside = not paths or slug != "triple" or "double" not in paths[0]
            assert collected == ({f"katas/basics/{slug}/test_{slug}.py"} if inside else set())

    def test_a_slug_among_other_tests_selects_by_name(self, doubled, right):
        """`pytest tests -k double` is about tests of something else."""
        doubled.kata("double", numpy=right)
        doubled.write("tests/test_else.py", "def test_double(): pass\ndef test_other(): pass\n")
        assert "1 passed, 1 deselected" in doubled.pytest("tests", "-k", "double").stdout

    def test_a_name_that_no_kata_has_gets_a_near_one(self, doubled):
        assert "There is no kata 'duoble'. Did you mean double?" in doubled.pytest("-k", "duoble").stdout

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--framework=pytorch"], "There is no framework 'pytorch'. Did you mean torch?"),
            (["--framework=jax"], "There is no framework 'jax'. Choose from numpy, torch, tensorflow or all."),
            (["--impl=nowhere"], "--impl=nowhere: there is no folder"),
        ],
    )
    def test_a_wrong_option_is_told_in_a_sentence(self, doubled, options, told):
        done = doubled.pytest("-k", "double", *options)
        assert done.returncode == 4
        assert told in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_wrong_dojo_toml_is_told_in_a_sentence(self, doubled):
        doubled.write("dojo.toml", "framework = []")
        done = doubled.pytest("-k", "double")
        assert "dojo.toml has an unknown key 'framework'. Did you mean frameworks?" in done.stderr

    def test_another_tree_is_tested_in_place_of_the_stubs(self, doubled, right):
        doubled.write("handed_in/basics/double/double_numpy.py", right)
        assert list(results(doubled, "-k", "double", "--impl=handed_in")) == ["numpy"]
        assert results(doubled, "-k", "double", "--impl=handed_in")["numpy"]["state"] == "passed"


class TestTruth:
    def test_two_saves_of_equal_size_in_one_second_both_count(self, project, right):
        project.kata("double", numpy=right)
        assert project.pytest("-k", "double").returncode == 0
        project.kata("double", numpy=right.replace("x + x", "x * x"))
        assert project.pytest("-k", "double").returncode == 1

    def test_random_inputs_are_the_same_in_every_framework_and_run(self, project, right):
        tests = """
            from pathlib import Path
            from dojo import level

            @level(1, "draw")
            def test_draw(impl, fw, rng):
                with Path("draws").open("a") as file: print(rng.integers(10**9), file=file)
        """
        project.kata("double", tests=tests, numpy=right, torch=right)
        project.pytest("-k", "double")
        project.pytest("-k", "double")
        draws = (project.root / "draws").read_text().split()
        assert len(draws) == 4
        assert len(set(draws)) == 1

    def test_what_is_off_limits_is_refused_with_its_line(self, project):
        project.kata(
            "double",
            meta='off_limits = ["numpy.add"]\n',
            numpy="import numpy as np\n\ndef double(x):\n    return np.add(x, x)\n",
        )
        done = project.pytest("-k", "double")
        assert "numpy.add is off limits in this kata: write it yourself (double_numpy.py, line 4)." in " ".join(
            done.stdout.split()
        )

    def test_tracebacks_come_back_when_asked_for(self, project):
        project.kata("double", numpy="def double(x):\n    return x.nothing\n")
        assert "AttributeError" in project.pytest("-k", "double", "--tb=short").stdout
        assert "Traceback" not in project.pytest("-k", "double").stdout


BEYOND = """
import pytest
from dojo import level

values = level(1, "values", points=2)
subtle = level(2, "zero")
wide = level(3, "wide", beyond=True)
odd = level(4, "odd", points=3, beyond=True)


@odd
def test_it_halves(impl): assert impl.halve(2) == 1


@subtle
def test_zero(impl): assert impl.double(0) == 0, "zero stays"


@wide
def test_wide(impl): assert impl.double(10**30) == 2 * 10**30, "too narrow"


@values
def test_values(impl): assert impl.double(3) == 6, "wrong"
"""
UNWRITTEN = '''

def halve(x):
    """Half of x."""
    raise NotImplementedError("halve is yours to write")
'''


class TestBeyond:
    """Beyond levels open all at once when the interview levels pass, and fail nothing."""

    @pytest.fixture
    def graded(self, project):
        def graded(source, *args):
            project.kata("double", BEYOND, numpy=source)
            self.done = project.pytest("-k", "double", *args, f"--report={project.root / 'report.json'}")
            (result,) = json.loads((project.root / "report.json").read_text())["katas"]
            return result

        return graded

    def test_they_wait_for_all_interview_levels(self, graded):
        result = graded("def double(x):\n    return x + x or 1\ndef halve(x):\n    return x // 2\n")
        assert states(result) == ["passed", "failed", "locked", "locked"]
        assert (result["score"], result["total"], result["solved"]) == (2, 7, False)
        assert self.done.returncode == 1

    def test_one_that_fails_locks_no_other(self, graded):
        narrow = "def double(x):\n    return min(x + x, 10**9)\ndef halve(x):\n    return x // 2\n"
        result = graded(narrow)
        assert states(result) == ["passed", "passed", "failed", "passed"]
        assert (result["score"], result["solved"], result["mastered"]) == (6, True, False)
        assert result["state"] == "passed"

    def test_a_solved_kata_that_is_not_mastered_makes_no_command_fail(self, graded, project):
        graded("def double(x):\n    return min(x + x, 10**9)\ndef halve(x):\n    return 3\n")
        assert self.done.returncode == 0
        assert project.run("-m", "dojo", "check").returncode == 0
        assert project.run("-m", "dojo", "check", "double").returncode == 0

    def test_a_reference_solution_must_master_its_kata(self, graded, project):
        graded("def double(x):\n    raise NotImplementedError\n")
        project.write("solutions/basics/double/double_numpy.py", "def double(x):\n    return x + x\n" + UNWRITTEN)
        assert project.pytest("-k", "double", "--impl=solutions").returncode == 1

    def test_what_only_they_need_is_not_started_where_it_is_unwritten(self, graded):
        result = graded(f"def double(x):\n    return x + x\n{UNWRITTEN}")
        assert states(result) == ["passed", "passed", "passed", "not started"]
        assert (result["score"], result["solved"], result["mastered"]) == (4, True, False)
        assert self.done.returncode == 0

    def test_an_unwritten_function_that_the_interview_asks_for_is_a_failure(self, graded):
        result = graded("def double(x):\n    raise NotImplementedError('later')\ndef halve(x):\n    return x // 2\n")
        assert states(result) == ["failed", "locked", "locked", "locked"]
        assert self.done.returncode == 1

    def test_a_kata_with_everything_is_mastered(self, graded):
        result = graded("def double(x):\n    return x + x\ndef halve(x):\n    return x // 2\n")
        assert (result["score"], result["total"], result["mastered"]) == (7, 7, True)

    def test_the_reader_finds_the_levels_without_importing_the_file(self, project):
        from dojo.curriculum.levels import Level, read_levels

        folder = project.kata("double", BEYOND, numpy="")
        assert read_levels(folder / "test_double.py") == [
            Level(1, "values", points=2),
            Level(2, "zero"),
            Level(3, "wide", beyond=True),
            Level(4, "odd", points=3, beyond=True),
        ]


class TestBare:
    """`pytest` and nothing else."""

    def test_nothing_started_shows_the_board_in_few_lines(self, doubled, stub):
        for number in range(12):
            doubled.kata(f"other_{number}", numpy=stub, torch=stub)
        done = doubled.pytest()
        assert done.returncode == 0, done.stdout
        assert "Basics" in done.stdout
        assert len(done.stdout.splitlines()) <= 12

    def test_many_tracks_still_take_few_lines_and_end_with_what_is_next(self, project, many_katas):
        many_katas(project, tracks=20, katas=9)
        done = project.pytest()
        assert done.returncode == 0, done.stdout
        lines = done.stdout.splitlines()
        assert len(lines) <= 20
        assert all(f"track_{number:02}" in done.stdout for number in range(20))
        assert any(line.startswith("Next: begin kata_000") for line in lines)

    def test_only_what_is_started_runs(self, doubled, stub, right):
        doubled.kata("other", tests="raise RuntimeError('imported')", numpy=stub)
        doubled.kata("double", numpy=right)
        done = doubled.pytest()
        assert done.returncode == 0
        assert "imported" not in done.stdout
        assert "double in numpy" in done.stdout
        assert "✓ 5 of 5" in done.stdout
        assert "Next: begin other" in done.stdout

    def test_a_test_explorer_sees_every_kata(self, doubled, stub):
        doubled.kata("other", numpy=stub)
        listed = doubled.pytest("--collect-only", "-q").stdout
        assert "test_double.py" in listed and "test_other.py" in listed
