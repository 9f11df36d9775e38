"""How much memory and time a child may take as a whole; its own tests' limits strike long before."""

import json
import time
from contextlib import suppress
from pathlib import Path

import psutil

from dojo.settings import read_settings

LONGEST = 600  # seconds for a whole kata whose tests do not allow for more
_GRACE_GIB = 1  # on top of the limit that the child keeps by itself


class Limits:
    """The limits of one child, which says in its events how long its tests may take."""

    def __init__(self, process: psutil.Process, events: Path):
        self.process, self.events = process, events
        self.started, self.longest = time.monotonic(), LONGEST
        self.memory = self._resident() + int((read_settings().memory_gib + _GRACE_GIB) * 2**30)

    def exceeded(self) -> str:
        """'memory' or 'time' where the child is over that limit, otherwise ''."""
        if self._resident() > self.memory:
            return "memory"
        if time.monotonic() - self.started > self.longest:
            allowed = self._allowed()
            if allowed <= self.longest:
                return "time"
            self.longest = allowed
        return ""

    def _resident(self) -> int:
        try:
            return self.process.memory_info().rss
        except psutil.Error:
            return 0

    def _allowed(self) -> float:
        """How many seconds the tests may take together, if the child has come as far as to plan them."""
        with suppress(OSError, ValueError, LookupError):
            plan, *_ = self.events.read_text(encoding="utf-8").splitlines()
            return json.loads(plan)["seconds"]
        return LONGEST
