"""What all plugins of one run of pytest know: the tree under test, what is asked of it, and where."""

from functools import cached_property
from pathlib import Path

import pytest

from dojo.curriculum.frameworks import frameworks_of, parse_frameworks
from dojo.curriculum.katas import Catalog, Kata, find_tree
from dojo.settings import read_settings


class Run:
    """One run of pytest."""

    def __init__(self, config: pytest.Config):
        """A DojoError where an option or dojo.toml is wrong."""
        self.config, self.option = config, config.option
        self.catalog = Catalog(config.rootpath / "katas")
        self.settings = read_settings(config.rootpath / "dojo.toml")
        self.tree = find_tree(self.option.impl, config.rootpath, config.invocation_params.dir)
        self.wanted = parse_frameworks(self.option.framework)
        self.test_seconds = self.option.test_seconds or self.settings.test_seconds
        self.names_paths = config.args_source is pytest.Config.ArgsSource.ARGS
        self.only = self.catalog.exactly(self.option.keyword)  # the one kata asked for by name
        self._frameworks: dict[Path, tuple[str, ...]] = {}

    @cached_property
    def is_worker(self) -> bool:
        """Whether pytest-xdist runs part of the tests here; results come together elsewhere."""
        return hasattr(self.config, "workerinput")

    @property
    def events(self) -> Path | None:
        return Path(self.option.events) if self.option.events else None

    @property
    def is_bare(self) -> bool:
        """`pytest` and nothing else: of interest is what the learner has started."""
        asked = self.option.keyword or self.option.markexpr or self.option.collectonly or self.names_paths
        return not asked and self.tree == self.catalog.root

    def frameworks(self, kata: Kata) -> tuple[str, ...]:
        if kata.folder not in self._frameworks:
            enabled = self.settings.frameworks
            self._frameworks[kata.folder] = frameworks_of(kata, self.tree, enabled, self.wanted)
        return self._frameworks[kata.folder]
