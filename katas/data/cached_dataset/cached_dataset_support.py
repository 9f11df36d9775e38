"""For the tests of the cached_dataset kata: a source, what a cache should do with it, threads and processes."""

import multiprocessing
import sys
import threading
import time
from concurrent.futures import Future, wait
from contextlib import contextmanager

import pytest


class Source(list):
    """A slow dataset that notes what it is asked for; `on_load` is called with the index before the item is given."""

    def __init__(self, items, on_load=lambda index: None):
        super().__init__(items)
        self.on_load, self.asked = on_load, []

    def __getitem__(self, index):
        self.asked.append(index)
        self.on_load(index)
        return super().__getitem__(index)


def cached(impl, fw, rng, sizes, max_bytes=1000, on_load=lambda index: None, transform=None):
    """Float32 vectors (one of size n has 4·n bytes), the source that gives them, and the dataset over it."""
    arrays = [rng.standard_normal(size).astype("float32") for size in sizes]
    source = Source([fw.array(array) for array in arrays], on_load)
    return arrays, source, impl.CachedDataset(source, max_bytes, transform)


def by_the_book(trace, sizes, max_bytes):
    """After each access: what it loads, and the counts."""
    held, counts = [], {"hits": 0, "misses": 0, "evictions": 0, "bytes_held": 0}  # held: the least recently used first
    for index in trace:
        hit = index in held
        counts["hits" if hit else "misses"] += 1
        held = [other for other in held if other != index]
        if sizes[index] <= max_bytes:
            while sum(sizes[other] for other in [*held, index]) > max_bytes:
                held.pop(0)
                counts["evictions"] += 1
            held.append(index)
        counts["bytes_held"] = sum(sizes[other] for other in held)
        yield [] if hit else [index], counts


def at_once(number, work, trace=None):
    """Run work(0) … work(number − 1) in threads that begin together; their results. A thread that hangs is an error."""
    together, futures = threading.Barrier(number, timeout=10), [Future() for _ in range(number)]

    def begin(which):
        together.wait()
        sys.settrace(trace)
        try:
            futures[which].set_result(work(which))
        except BaseException as error:
            futures[which].set_exception(error)

    for which in range(number):
        threading.Thread(target=begin, args=(which,), daemon=True).start()
    hanging = any(not wait([future], timeout=6).done for future in futures)  # six seconds for each would be too long
    found = [future.result() for future in futures if future.done()]  # or the error of a thread
    assert not hanging, "a thread hangs: it waits for something that nobody will do"
    return found


def giving_way(file):
    """A trace function for threads: before each line of the file other threads get their turn."""

    def trace(frame, event, argument):
        if frame.f_code.co_filename == file:
            time.sleep(0)
            return trace

    return trace


@contextmanager
def forked():
    """Worker processes are forked, as on Linux."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("fork", force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)
