"""Loading an implementation from the tree under test."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

import pytest

from dojo.curriculum.frameworks import absent
from dojo.curriculum.katas import Kata
from dojo.curriculum.off_limits import refuse_forbidden
from dojo.curriculum.stubs import is_started
from dojo.errors import did_you_mean
from dojo.pytest_plugin.containment import guarded
from dojo.pytest_plugin.items import framework_of, is_of_kata, kata_of
from dojo.pytest_plugin.run import Run
from dojo.testing.adapters import open_adapter
from dojo.testing.loading import load


class Loading:
    """The modules under test, each loaded once."""

    def __init__(self, run: Run):
        self.run = run
        self.modules: dict[Path, ModuleType | BaseException] = {}  # file to its module, or to the error of its import
        self.stand_in: ModuleType | None = None  # a known mistake that takes the implementation's place

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session):
        """Import the frameworks of what is started before the clock of any test runs."""
        for kata, framework in {(kata_of(item), framework_of(item)) for item in session.items if is_of_kata(item)}:
            if not absent(framework) and is_started(kata.implementation(framework, self.run.tree)):
                with suppress(ImportError):  # a broken installation is told where it is needed
                    open_adapter(framework)
        return (yield)

    def load(self, kata: Kata, framework: str) -> ModuleType:
        """The implementation's module; its error, if its import had one, is raised each time it is asked for."""
        if self.stand_in is not None:
            return self.stand_in
        path = kata.implementation(framework, self.run.tree)
        if path not in self.modules:
            self.modules[path] = self._try(kata, path)
        if isinstance(self.modules[path], BaseException):
            raise self.modules[path]
        return self.modules[path]

    def _try(self, kata: Kata, path: Path) -> ModuleType | BaseException:
        try:
            refuse_forbidden(path, kata.meta.off_limits)
            with guarded(self.run.settings):
                return load(path)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return error

    @contextmanager
    def standing_in(self, module: ModuleType) -> Iterator[None]:
        """Inside, every test gets this module for the implementation."""
        self.stand_in = module
        try:
            yield
        finally:
            self.stand_in = None


def missing_name(module: ModuleType, name: str) -> str:
    """What to say where the test asks an implementation for a name that it does not have."""
    own = [key for key in vars(module) if not key.startswith("_")]
    return f"{Path(module.__file__).name} defines no {name!r}.{did_you_mean(name, own)}"
