"""The diagnosis, put to the proof: every mistake of every kata is handed in as if somebody had written it."""

import collections

import pytest

from dojo.catalog import Catalog
from dojo.commands.mistakes import make_jobs
from dojo.diagnosis import as_sentence
from dojo.runner import Runner

NAMED_AT_LEAST = 0.95


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """(kata, framework, mistake) to what the first failing test of that submission is diagnosed as, '' for nothing."""
    katas = Catalog().katas.values()
    wanted = [(kata, framework) for kata in katas for framework in kata.frameworks]
    jobs = make_jobs(wanted, tmp_path_factory.mktemp("mistakes"))
    diagnoses = {}
    with Runner() as runner:
        for job, result in runner.run(jobs):
            found = [test.diagnosis for level in result.levels for test in level.tests if test.diagnosis]
            diagnoses[job.kata.slug, job.framework, jobs[job]] = "".join(found)
    return diagnoses


def is_named(mistake, diagnosis):
    return as_sentence(mistake.says) in diagnosis


@pytest.mark.timeout(3600)
def test_nearly_every_mistake_is_named_as_itself(told):
    """Left over are mistakes in trainings too long to be repeated within the second that a diagnosis may take."""
    unnamed = [(*key[:2], key[2].name) for key, diagnosis in told.items() if not is_named(key[2], diagnosis)]
    share = 1 - len(unnamed) / len(told)
    by_kata = collections.Counter(slug for slug, _, _ in unnamed)
    print(f"{share:.1%} of {len(told)} mistakes are named as themselves; unnamed: {dict(by_kata)}")
    assert share >= NAMED_AT_LEAST, unnamed


def test_none_is_named_as_another_one_alone(told):
    assert not [
        (slug, framework, mistake.name, diagnosis)
        for (slug, framework, mistake), diagnosis in told.items()
        if diagnosis and not is_named(mistake, diagnosis)
    ]
