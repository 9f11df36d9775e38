"""A dataset with a cache, in PyTorch.

Reading and decoding an item again in every epoch is slow; keeping all of them needs more memory than there is. The
compromise is a cache with a budget in bytes: what was loaded stays, until something newer needs its place. Then that
item goes which nobody has asked for the longest time (least recently used, LRU). The hard part is not the dictionary:
several threads may ask at once, and worker processes get a copy each.

Levels     1 a dataset · 2 hits and misses · 3 least recently used · 4 edges · 5 threads · 6 workers
Off limits functools.lru_cache, functools.cache
Check      pytest -k cached_dataset
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class CachedDataset(Dataset):
    """The items of a slow dataset, some of them kept in memory.

    It survives pickle, and copy.deepcopy: source, budget and transform are sent, the cache is not. The copy begins as a
    new dataset does, with nothing kept and nothing counted.

    Attributes, all int, to be read at any time:
        hits: how many accesses found their item kept, or on its way to another thread.
        misses: how often the source was asked for an item, also when it failed.
        evictions: how many items had to make room for another.
        bytes_held: the bytes of the items now kept, never more than max_bytes.
    """

    def __init__(self, source: Sequence[Tensor], max_bytes: int, transform: Callable[[Tensor], Any] | None = None):
        """Wrap a dataset; nothing is loaded yet.

        Args:
            source: has a length, and a tensor at each index from 0 to len − 1: source[index] loads it. Threads may
                ask it for several items at once. Tensors differ in size and dtype.
            max_bytes: the budget. An item counts its elements times the bytes of one.
            transform: called with the loaded tensor each time that an item is asked for; what it returns is the item.
                It is not what is kept: a random transform gives something else each time.

        Raises:
            ValueError: max_bytes is negative.
        """
        raise NotImplementedError("CachedDataset.__init__ is yours to write")

    def __len__(self) -> int:
        """The length of the source."""
        raise NotImplementedError("CachedDataset.__len__ is yours to write")

    def __getitem__(self, index: int) -> Any:
        """Give one item: from the cache, or else from the source.

        A loaded item is kept. First as many others leave as must, the least recently used first (a use: to be given,
        or just loaded). An item larger than the whole budget is given and not kept, and no other leaves for it. Of
        a view into a larger tensor a copy is kept, so that the larger one can go.
        The caller, and the transform, may write into the tensor they get: what is kept stays as it was loaded, and
        what another thread got stays, too.

        Threads may ask at once. No load and no transform makes a thread wait that wants another item. Threads
        that want the same item, while it loads, wait for it and get it as a hit: it is loaded once.

        Args:
            index: from −len to len − 1; −1 is the last item, and the same as len − 1.

        Returns:
            The tensor, as the source gave it; with a transform: what that returns.

        Raises:
            IndexError: there is no such index; the source is not asked.
            What the source or the transform raises comes through as it is. A load that failed leaves nothing behind:
            the next access loads again. Threads that waited for it get its error, or load again.
        """
        raise NotImplementedError("CachedDataset.__getitem__ is yours to write")


def batches(dataset: CachedDataset, batch_size: int, workers: int = 0) -> DataLoader:
    """The items in batches, in order; the last batch may be smaller.

    Args:
        dataset: its items are float32 tensors of one shape.
        batch_size: items in a batch.
        workers: how many worker processes load; 0: the calling process. They may be started by any method: sent by
            pickle, or forked, even while another thread of the parent is loading an item: no worker may wait for
            that thread, which it does not have.

    Returns:
        An iterable over tensors (batch, ...), float32. Each pass gives all batches. A worker lives on from one pass to
        the next, and its cache with it: where the budget suffices, the second pass loads nothing.
    """
    raise NotImplementedError("batches is yours to write")
