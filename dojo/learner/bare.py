"""A pytest plugin: `pytest` and nothing else ends with the board, and with what to do next."""

import pytest

ROWS = 10  # of the board, as far as its tracks fit into them


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    run, recording = (config.pluginmanager.get_plugin(f"dojo-{name}") for name in ("run", "recording"))
    if not run or not run.is_bare or run.events or run.is_worker:
        return
    # Only this run pays for the imports: `pytest -k` shows no board.
    from dojo.compat import terminal_of
    from dojo.learner.next_kata import suggest
    from dojo.learner.progress import Store
    from dojo.learner.results import results_without_running
    from dojo.report.board import Board, next_step
    from dojo.report.terminal import console_on

    progress = Store(config.rootpath / ".dojo" / "progress.json").read()
    fresh = {(result.slug, result.framework): result for result in recording.graded()}
    known = results_without_running(run.catalog, progress)
    results = [fresh.get((result.slug, result.framework), result) for result in known]
    console = console_on(*terminal_of(terminalreporter))
    board = Board(results, run.catalog, run.settings.frameworks, progress.given_up, console.width)
    console.print(board.overview(next_step(suggest(results, run.catalog), run.catalog), ROWS))
