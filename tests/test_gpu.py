"""The tests for a GPU, with the CPU in its place: whether what they demand is right, if not where it is computed."""

import json
import subprocess
import sys

import pytest

from dojo.curriculum.katas import Catalog
from dojo.files import ROOT


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_what_is_demanded_on_a_gpu_is_what_the_solutions_give(framework, tmp_path):
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "tests.cpu_as_gpu", "--impl=solutions"]
    done = subprocess.run(
        [*command, f"--framework={framework}", f"--report={report}"], cwd=ROOT, capture_output=True, text=True
    )
    results = json.loads(report.read_text())["katas"]
    tests = [test for kata in results for level in kata["levels"] for test in level["tests"]]
    states = {test["state"] for test in tests}
    marked = [kata for kata in Catalog().katas.values() if "mark.gpu" in kata.test_file.read_text(encoding="utf-8")]
    assert states == {"passed"}, done.stdout
    assert {kata["kata"] for kata in results} == {kata.slug for kata in marked if framework in kata.frameworks}
