"""The proof over all katas. It takes minutes: `nox -s tests` leaves it to `nox -s mistakes`, which is the same run."""

import argparse

import pytest

from dojo.commands import mistakes


@pytest.mark.proof
def test_every_mistake_is_refused_at_its_level_and_the_diagnosis_names_nearly_all_and_none_wrongly(capsys):
    parser = argparse.ArgumentParser()
    mistakes.add_arguments(parser)
    status = mistakes.run(parser.parse_args([]))
    assert status == 0, capsys.readouterr().out
