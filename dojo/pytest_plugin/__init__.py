"""The pytest plugin: runs a kata's levels on one implementation tree, in order, and grades them.

Small plugins share one `Run`. They touch only tests below katas/; other tests run as pytest runs them.
"""

import pytest

from dojo.errors import DojoError
from dojo.pytest_plugin import fixtures, options
from dojo.pytest_plugin.collection import Collection
from dojo.pytest_plugin.diagnosing import Diagnosing
from dojo.pytest_plugin.display import Display
from dojo.pytest_plugin.gate import Gate
from dojo.pytest_plugin.limits import Limits
from dojo.pytest_plugin.loading import Loading
from dojo.pytest_plugin.recording import Recording
from dojo.pytest_plugin.run import Run
from dojo.pytest_plugin.verdicts import Verdicts


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add(parser.getgroup("dojo"))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    try:
        run = Run(config)
    except DojoError as error:
        raise pytest.UsageError(str(error)) from None
    loading, recording = Loading(run), Recording(run)
    limits = Limits(run, recording)
    plugins = {
        "run": run,
        "fixtures": fixtures,
        "collection": Collection(run),
        "recording": recording,
        "gate": Gate(run, loading),
        "limits": limits,
        "loading": loading,
        "verdicts": Verdicts(run, loading),
        "diagnosing": Diagnosing(run, loading),
        "display": Display(run, recording),
    }
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"dojo-{name}")
