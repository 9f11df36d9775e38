"""Right solutions in another style pass every level that they should."""

import ast
from pathlib import Path

import pytest

from dojo.curriculum.katas import Catalog, Kata
from dojo.files import ROOT
from dojo.grading import KataResult, State
from dojo.proof.variants import PATIENT
from dojo.running.job import Job
from dojo.running.runner import Runner

STYLES = ROOT / "tests" / "styles"
FILES = sorted(STYLES.glob("*/*/*/*.py"))
NAMES = [f"{path.parent.name}-{path.parts[-4]}-{path.stem.rsplit('_', 1)[1]}" for path in FILES]
KATAS = Catalog().katas


def job_of(path: Path) -> Job:
    kata: Kata = KATAS[path.parent.name]
    return Job(kata, path.stem.rsplit("_", 1)[1], path.parents[2], (PATIENT,))


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> dict[Path, KataResult]:
    """Every style that was asked for tested, over all cores."""
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    by_job = {job_of(path): path for path in {each["path"] for each in params if "path" in each}}
    with Runner() as runner:
        return {by_job[job]: result for job, result in runner.run(by_job)}


def stops_at(path: Path) -> int | None:
    """The level at which a right but slow style must be refused, if it says so."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STOPS_AT_LEVEL":
            return ast.literal_eval(node.value)
    return None


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_right_solution_in_another_style_passes(results, path):
    result = results[path]
    told = [f"level {test.level}: {test.message}" for level in result.levels for test in level.tests if test.message]
    if stop := stops_at(path):
        assert result.first_open and result.first_open.number == stop, told
    else:
        assert result.state is State.PASSED, told


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_right_solution_is_never_diagnosed(results, path):
    """But at the level that a slow one must stop at: there it may make the very mistake that it is told."""
    said = [test for level in results[path].levels for test in level.tests if test.diagnosis]
    assert not [test.diagnosis for test in said if test.level != stops_at(path)]


@pytest.mark.parametrize("kata", KATAS.values(), ids=KATAS)
def test_a_kata_has_two_other_styles_at_least(kata):
    assert len({path.parts[-4] for path in FILES if path.parent.name == kata.slug}) >= 2
