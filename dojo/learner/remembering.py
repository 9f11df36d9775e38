"""A pytest plugin that keeps the results of a learner's own whole runs."""

import pytest

from dojo.curriculum.frameworks import absent
from dojo.curriculum.stubs import is_started
from dojo.keys import key_of
from dojo.pytest_plugin.items import framework_of, is_of_kata, kata_of


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    run, recording = (config.pluginmanager.get_plugin(f"dojo-{name}") for name in ("run", "recording"))
    # Whoever asked for events or works for xdist remembers by itself.
    if run and run.tree == run.catalog.root and not (run.events or run.is_worker or run.option.all_levels):
        config.pluginmanager.register(Remembering(run, recording), "dojo-remembering")


class Remembering:
    def __init__(self, run, recording):
        self.run, self.recording = run, recording
        self.keys: dict[tuple[str, str], str] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Take the keys before anything runs: a save meanwhile must not pass for what was run."""
        if self.run.option.collectonly:
            return
        for kata, framework in {(kata_of(item), framework_of(item)) for item in session.items if is_of_kata(item)}:
            file = kata.implementation(framework, self.run.tree)
            if not absent(framework) and is_started(file):
                self.keys[kata.slug, framework] = str(key_of(kata, framework, file))

    def pytest_sessionfinish(self) -> None:
        noted = [result for result in self.recording.graded() if (result.slug, result.framework) in self.keys]
        if noted and not self.recording.partial:
            from dojo.learner.progress import Store, remember  # only who has a result pays for its import

            remember(noted, Store(self.run.config.rootpath / ".dojo" / "progress.json"), self.keys)
