"""Single keys from the terminal, without Enter."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def keys_pressed(tell: Callable[[str], None]) -> Iterator[None]:
    """Call `tell` with each key pressed, on a thread of its own; with '' when the terminal is closed.

    Where the input is no terminal, nothing is read.
    """
    if not sys.stdin.isatty():
        yield
        return
    read = _windows_key if sys.platform == "win32" else _posix_key
    with _unbuffered():
        threading.Thread(target=_listen, args=(read, tell), daemon=True).start()
        yield


def _listen(read: Callable[[], str], tell: Callable[[str], None]) -> None:
    while True:
        key = read()
        tell(key)
        if not key:
            return


@contextmanager
def _unbuffered() -> Iterator[None]:
    """Let the terminal hand over each key at once and print none, until the block ends."""
    if sys.platform == "win32":  # its own call reads keys so anyway
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _posix_key() -> str:
    return os.read(sys.stdin.fileno(), 1).decode(errors="replace")


def _windows_key() -> str:
    import msvcrt

    return msvcrt.getwch()
