"""Which tests there are: of which kata, in which frameworks, in which order."""

from pathlib import Path

import pytest

from dojo.curriculum.frameworks import WITHOUT_GRADIENTS
from dojo.curriculum.stubs import is_started
from dojo.pytest_plugin.items import RESULT, describe, framework_of, is_empty, is_of_kata, kata_of
from dojo.pytest_plugin.run import Run


class Collection:
    def __init__(self, run: Run):
        self.run = run
        if run.only and not run.names_paths:
            run.config.args[:] = [str(run.only.folder)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Pass over the neighbours of the one kata asked for, and in a bare run over what is not started."""
        katas = self.run.catalog.root
        if not collection_path.is_relative_to(katas) or collection_path == katas:
            return None
        if self.run.only:
            folder = self.run.only.folder
            return None if folder.is_relative_to(collection_path) or collection_path.is_relative_to(folder) else True
        if self.run.is_bare and collection_path.is_dir() and (kata := self.run.catalog.owner(collection_path)):
            files = (kata.implementation(name, self.run.tree) for name in self.run.frameworks(kata))
            return None if any(map(is_started, files)) else True
        return None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per framework for whatever uses an implementation or an adapter."""
        kata = self.run.catalog.owner(Path(metafunc.definition.path))
        if kata is None or "framework" not in metafunc.fixturenames:
            return
        names = self.run.frameworks(kata)
        marker = metafunc.definition.get_closest_marker("level")
        if (marker and marker.kwargs.get("autograd")) or metafunc.definition.get_closest_marker("gpu"):
            names = tuple(name for name in names if name not in WITHOUT_GRADIENTS)
        metafunc.parametrize("framework", names, indirect=True, scope="session")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Drop what is made for no framework, note what each test is, and put the levels in order."""
        items[:] = [item for item in items if not is_empty(item)]
        for item in items:
            if self.run.catalog.owner(item.path):
                item.stash[RESULT] = describe(item)
        items.sort(key=_order)


def _order(item: pytest.Item) -> tuple:
    if not is_of_kata(item):
        return ("", 0, False, 0)
    result = item.stash[RESULT]
    return (str(item.path), kata_of(item).frameworks.index(framework_of(item)), result.beyond, result.level)
