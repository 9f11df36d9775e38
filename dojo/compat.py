"""Every use of a private name of another library, in one place: an update of theirs can break this file alone."""

from contextlib import suppress
from typing import IO, Any

import pytest


def run_test(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Set up, call and tear down one test, and report nothing to anybody."""
    from _pytest.runner import runtestprotocol

    return runtestprotocol(item, nextitem=nextitem, log=False)


def renew_fixtures(item: pytest.Item) -> None:
    """Make the test ready to run again."""
    item._initrequest()


def terminal_of(reporter: Any) -> tuple[IO[str], int, bool]:
    """What pytest prints to: the file, its width, and whether colours are wanted."""
    width = 120
    if reporter.isatty:
        with suppress(AttributeError):
            width = max(80, reporter._screen_width)
    return reporter._tw._file, width, reporter._tw.hasmarkup


def svg_without_fonts() -> str:
    """rich's picture of a console without the fonts that it would fetch: the reader's monospace font serves."""
    import re

    from rich._export_format import CONSOLE_SVG_FORMAT

    return re.sub(r"@font-face \{\{.*?\}\}\n?", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
