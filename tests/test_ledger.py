"""Proofs that are kept: what runs, what is believed, and how a false entry is found. On a kata with known mistakes."""

import json
import re
from pathlib import Path

import pytest

from dojo.curriculum.katas import Kata
from dojo.grading import KataResult, State, TestResult, grade
from dojo.keys import Key
from dojo.proof.claims import Claim
from dojo.proof.ledger import Entry, Ledger
from dojo.proof.proving import SHARE, complaint_about, sample, verdict_of

MISTAKES = "".join(
    f"""
[[mistake]]
name = "{name}"
says = "It is {name}."
level = 2
numpy = {{ find = "x + x", put = "{put}" }}
"""
    for name, put in (("square", "x * x"), ("triple", "3 * x"), ("the same", "x"))
)


@pytest.fixture
def solved(project, stub, right):
    """One kata with three mistakes and one other style."""
    project.kata("double", numpy=stub)
    project.write("solutions/basics/double/double_numpy.py", right)
    project.write("solutions/basics/double/mistakes.toml", MISTAKES)
    project.write("tests/styles/basics/double/product/double_numpy.py", "def double(x):\n    return 2 * x\n")
    project.run("-m", "dojo", "mistakes")
    return project


def ledger_file(project):
    return project.root / "proofs" / "basics" / "double.json"


def counts(done):
    """(claims, ran, believed)."""
    found = re.search(r"Of (\d+) claims (\d+) ran, (\d+) were believed", done.stdout)
    assert found, done.stdout + done.stderr
    return tuple(map(int, found.groups()))


def forge(project, verdict):
    """Write another verdict into every entry, as somebody might by hand."""
    file = ledger_file(project)
    content = json.loads(file.read_text())
    for values in content["claims"].values():
        values[2] = verdict
    file.write_text(json.dumps(content))


class TestBelieving:
    def test_what_is_proven_is_written_down_a_line_per_claim(self, solved):
        claims = json.loads(ledger_file(solved).read_text())["claims"]
        assert {name: values[2:] for name, values in claims.items()} == {
            f"mistake numpy {name}": ["refused at level 2", True] for name in ("square", "the same", "triple")
        }
        assert len(ledger_file(solved).read_text().splitlines()) == 5

    def test_unchanged_claims_are_believed_but_for_a_sample(self, solved):
        assert counts(solved.run("-m", "dojo", "mistakes")) == (3, 1, 2)

    def test_all_believes_nothing(self, solved):
        assert counts(solved.run("-m", "dojo", "mistakes", "--all")) == (3, 3, 0)

    @pytest.mark.parametrize(
        "file",
        [
            "katas/basics/double/test_double.py",
            "katas/basics/double/kata.toml",
            "solutions/basics/double/mistakes.toml",
        ],
    )
    def test_a_change_of_the_katas_own_files_voids_its_entries(self, solved, file):
        path = solved.root / file
        path.write_text(path.read_text() + "\n# changed\n")
        assert counts(solved.run("-m", "dojo", "mistakes")) == (3, 3, 0)

    def test_a_change_of_the_harness_alone_does_not(self, solved):
        path = solved.root / "dojo" / "grading.py"
        path.write_text(path.read_text() + "\n# changed\n")
        assert counts(solved.run("-m", "dojo", "mistakes")) == (3, 1, 2)

    def test_an_entry_of_a_mistake_that_is_gone_goes(self, solved):
        solved.write("solutions/basics/double/mistakes.toml", MISTAKES.partition('[[mistake]]\nname = "the same"')[0])
        solved.run("-m", "dojo", "mistakes")
        assert sorted(json.loads(ledger_file(solved).read_text())["claims"]) == [
            "mistake numpy square",
            "mistake numpy triple",
        ]

    def test_solutions_and_styles_are_claims_too(self, solved):
        assert counts(solved.run("-m", "dojo", "solutions")) == (2, 2, 0)
        claims = json.loads(ledger_file(solved).read_text())["claims"]
        assert claims["solution numpy double"][2] == claims["style numpy product"][2] == "passes"
        assert len(claims) == 5

    def test_a_wrong_style_is_told(self, solved):
        solved.write("tests/styles/basics/double/product/double_numpy.py", "def double(x):\n    return 3 * x\n")
        done = solved.run("-m", "dojo", "solutions")
        assert done.returncode == 1
        assert "style 'product' should be 'passes' and is 'refused at level 2'" in done.stdout

    def test_a_right_style_that_is_diagnosed_is_told(self):
        claim = Claim(Kata(Path("katas/basics/double")), "numpy", "style", "slow", "", "refused at level 2")
        tests = [TestResult(str(n), "it holds", n, "", 1, state=State.FAILED, diagnosis=f"It is {n}.") for n in (2, 3)]
        result = grade("basics", "double", "numpy", tests)
        assert complaint_about(claim, result, "").endswith("is right, and is diagnosed: It is 3.")

    def test_mutants_are_kept_and_their_survivors_listed(self, solved):
        first, second = (solved.run("-m", "dojo", "mutants") for _ in range(2))
        made, ran, _ = counts(first)
        assert made == ran > 1
        assert counts(second)[1] == 1
        assert "survivor" not in first.stderr


class TestDistrust:
    def test_a_forged_entry_is_found_by_the_sample(self, solved):
        forge(solved, "refused at level 1")
        done = solved.run("-m", "dojo", "mistakes")
        assert done.returncode == 1
        assert "the ledger says 'refused at level 1', and now it is 'refused at level 2'" in done.stdout
        assert "Prove the kata anew: nox -s mistakes -- double --all" in done.stdout

    def test_after_a_disagreement_the_claim_is_believed_no_longer(self, solved):
        forge(solved, "refused at level 1")
        for _ in range(3):
            solved.run("-m", "dojo", "mistakes")
        assert solved.run("-m", "dojo", "mistakes").returncode == 0

    def test_a_file_that_is_no_ledger_is_told_in_a_sentence(self, solved):
        ledger_file(solved).write_text("[[")
        done = solved.run("-m", "dojo", "mistakes")
        assert done.returncode == 1
        assert "proofs/basics/double.json cannot be read" in done.stderr
        assert "Traceback" not in done.stderr

    def test_an_end_by_the_time_limit_is_never_written_down(self, solved):
        solved.write(
            "katas/basics/double/test_double.py",
            """
            import time
            from dojo import level

            @level(2, "slow")
            def test_slow(impl, fw):
                time.sleep(0 if impl.double(fw.array([2.0]))[0] == 4 and impl.double(fw.array([3.0]))[0] == 6 else 60)
            """,
        )
        claims = solved.root / "dojo" / "proof" / "claims.py"
        claims.write_text(claims.read_text().replace("--test-seconds=60", "--test-seconds=1"))
        solved.run("-m", "dojo", "mistakes")
        assert json.loads(ledger_file(solved).read_text())["claims"] == {}

    def test_a_harness_error_is_a_complaint_and_not_written_down(self, solved):
        solved.write("katas/basics/double/test_double.py", "def test_what(missing_fixture): pass\n")
        done = solved.run("-m", "dojo", "mistakes")
        assert done.returncode == 1
        assert "is 'harness error'" in done.stdout
        assert json.loads(ledger_file(solved).read_text())["claims"] == {}


class TestShards:
    def test_the_shards_together_are_the_whole(self, solved):
        parts = [counts(solved.run("-m", "dojo", "mistakes", "--all", "--shard", f"{k}/2"))[0] for k in (1, 2)]
        assert parts == [2, 1]

    @pytest.mark.parametrize("shard", ["0/2", "3/2", "half", "1/"])
    def test_a_wrong_shard_is_told_in_a_sentence(self, solved, shard):
        done = solved.run("-m", "dojo", "mistakes", "--shard", shard)
        assert done.returncode == 1
        assert f"--shard={shard}: give a part of the whole" in done.stderr


class TestSample:
    """Drawn from the commit's hash: the same for the same commit, another for another."""

    @pytest.fixture
    def proven(self, tmp_path):
        """(claims, keys, ledger) of two katas, 200 claims proven under one harness."""
        ledger = Ledger(tmp_path)
        claims = [
            Claim(Kata(tmp_path / "katas" / "basics" / slug), "numpy", "mistake", str(number), "", "refused at level 2")
            for slug in ("one", "two")
            for number in range(100)
        ]
        keys = {claim: Key("own", "harness") for claim in claims}
        for claim in claims:
            ledger.write_down(claim, Entry.under(keys[claim], "refused at level 2", True))
        return claims, keys, ledger

    def test_it_is_a_share_of_the_claims(self, proven):
        claims, keys, ledger = proven
        assert len(sample(claims, keys, ledger, "a")) == SHARE * len(claims) == 6

    def test_the_commit_decides(self, proven):
        claims, keys, ledger = proven
        assert sample(claims, keys, ledger, "a") == sample(claims, keys, ledger, "a")
        assert sample(claims, keys, ledger, "a") != sample(claims, keys, ledger, "b")

    def test_each_kata_whose_harness_changed_is_in_it(self, proven):
        claims, _, ledger = proven
        changed = {claim: Key("own", "another" if claim.kata.slug == "two" else "harness") for claim in claims}
        for seed in map(str, range(20)):
            drawn = sample(claims, changed, ledger, seed)
            assert any(claim.kata.slug == "two" for claim in drawn)
            assert len(drawn) <= 7

    def test_over_many_commits_every_claim_is_drawn(self, proven):
        claims, keys, ledger = proven
        drawn = set().union(*(sample(claims, keys, ledger, str(seed)) for seed in range(400)))
        assert drawn == set(claims)


def test_the_verdict_of_a_result_that_never_ran_is_no_pass():
    assert verdict_of(KataResult("basics", "double", "numpy", [])) == "failed"
