"""Groups of worker processes, and the operations that all of them take part in."""

from collections.abc import Callable
from typing import Any

from dojo.testing.adapters.arrays import Arrays
from dojo.testing.adapters.primitive import primitive


class Collectives(Arrays):
    """Used inside worker processes, see dojo.testing.workers."""

    @primitive
    def process_group(self, rank: int, addresses: list[str], timeout: float) -> Any:
        """The framework's own group of all workers, joined once in the life of a process.

        Args:
            rank: this worker, from 0.
            addresses: "host:port" of each worker in the order of ranks, free for use.
            timeout: seconds that a worker waits for the others in a collective operation.
        """

    @primitive
    def place_in_group(self, group: Any) -> tuple[int, int]:
        """(rank, size) as the framework's group has them."""

    @primitive
    def collectives(self, f: Callable[..., Any], *args: Any) -> list[str]:
        """The framework's own names of the collective operations that f(*args) dispatches or traces, in order."""
