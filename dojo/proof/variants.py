"""Trees that hold a changed solution: how mistakes and mutants come under test."""

from pathlib import Path

from dojo.curriculum.katas import Kata
from dojo.files import ROOT
from dojo.running.job import Job

SOLUTIONS = ROOT / "solutions"
# For code that is known to end, on a machine that all these tests keep busy.
PATIENT = "--test-seconds=60"
PATIENT_DIAGNOSIS = "--diagnosis-seconds=3"


def job_for(kata: Kata, framework: str, source: str, folder: Path, label: str, *options: str) -> Job:
    """Write `source` as the kata's implementation into a tree below `folder`; the job that tests it."""
    job = Job(kata, framework, folder, options, label)
    job.implementation.parent.mkdir(parents=True, exist_ok=True)
    job.implementation.write_text(source, encoding="utf-8")
    return job


def solution_source(kata: Kata, framework: str) -> str:
    return kata.implementation(framework, SOLUTIONS).read_text(encoding="utf-8")
