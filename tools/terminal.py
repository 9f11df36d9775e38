"""A verb of dojo that runs on a terminal of its own."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect

from dojo.errors import DojoError

PATIENCE = 120  # seconds to wait for a text
_UNUSUAL = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")


def usual_environment() -> dict[str, str]:
    """As most people have it."""
    return {name: value for name, value in os.environ.items() if name not in _UNUSUAL}


class Terminal:
    """A running command, and all that it has written."""

    def __init__(self, project: Path, *command: str, columns: int = 100):
        environment = usual_environment() | {"COLUMNS": str(columns), "TERM": "xterm-256color"}
        self.process = pexpect.spawn(
            sys.executable, ["-m", "dojo", *command], cwd=project, env=environment, encoding="utf-8", timeout=PATIENCE
        )
        self.process.logfile_read = io.StringIO()

    @property
    def written(self) -> str:
        return self.process.logfile_read.getvalue().replace("\r\n", "\n")

    def wait_for(self, text: str) -> None:
        """Wait until `text` comes, again if it came before."""
        try:
            self.process.expect_exact(text)
        except (pexpect.EOF, pexpect.TIMEOUT) as error:
            problem = "ended before it said" if isinstance(error, pexpect.EOF) else "never said"
            raise DojoError(f"dojo {problem} {text!r}:\n{self.written[-2000:]}") from None

    def press(self, key: str) -> None:
        self.process.send(key)

    def wait_for_the_end(self) -> None:
        self.process.expect(pexpect.EOF)


@contextmanager
def running(project: Path, *command: str) -> Iterator[Terminal]:
    """The command, on a terminal; ended with the block if it still runs then."""
    terminal = Terminal(project, *command)
    try:
        yield terminal
    finally:
        terminal.process.close(force=True)
