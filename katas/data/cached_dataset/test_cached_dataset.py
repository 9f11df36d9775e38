"""Levels of the cached_dataset kata. What a cache must do is told by `by_the_book`, with a plain list."""

import copy
import gc
import multiprocessing
import operator
import os
import pickle
import sys
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import numpy as np
import pytest

from dojo import level

plain_dataset = level(1, "a dataset")
hits_and_misses = level(2, "hits and misses")
least_recently_used = level(3, "least recently used", points=2)
edges = level(4, "edges", points=2)
threads = level(5, "threads", points=3)
workers_and_batches = level(6, "workers", points=2)


class Source:
    """A slow dataset that notes what it is asked for; `on_load` is called with the index before the item is given."""

    def __init__(self, items, on_load=None):
        self.items, self.on_load, self.asked = items, on_load, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        if self.on_load is not None:
            self.on_load(index)
        return self.items[index]


def some_items(fw, rng, sizes):
    """Float32 vectors, as arrays and as tensors: an item of size n has 4·n bytes."""
    arrays = [rng.standard_normal(size).astype("float32") for size in sizes]
    return arrays, [fw.array(array) for array in arrays]


def by_the_book(trace, sizes, max_bytes):
    """After each access: what it loads, and the counts."""
    held, counts = [], {"hits": 0, "misses": 0, "evictions": 0}  # held: the least recently used first
    for index in trace:
        hit = index in held
        counts["hits" if hit else "misses"] += 1
        if hit:
            held.remove(index)
        if sizes[index] <= max_bytes:
            while sum(sizes[other] for other in held) + sizes[index] > max_bytes:
                held.pop(0)
                counts["evictions"] += 1
            held.append(index)
        yield [] if hit else [index], counts | {"bytes_held": sum(sizes[other] for other in held)}


def check_counts(dataset, story, **wanted):
    found = {name: getattr(dataset, name) for name in wanted}
    assert found == wanted, f"{story}: the counts should be {wanted}, and are {found}"


def check_loads(source, wanted, story):
    assert source.asked == wanted, f"{story}: the source should load {wanted}, and loaded {source.asked}"


def follow(impl, fw, trace, items, max_bytes):
    """Walk the trace and compare with the book after every step."""
    arrays, tensors = items
    dataset = impl.CachedDataset(source := Source(tensors), max_bytes)
    sizes = [array.nbytes for array in arrays]
    for step, (loads, counts) in enumerate(by_the_book(trace, sizes, max_bytes)):
        source.asked.clear()
        fw.close(dataset[trace[step]], arrays[trace[step]], of=f"item {trace[step]}")
        story = f"{sizes} bytes, a budget of {max_bytes}, accesses {trace[: step + 1]}"
        check_loads(source, loads, f"{story}, at the last of them")
        check_counts(dataset, story, **counts)


@plain_dataset
def test_each_index_gives_its_item(impl, fw, rng):
    arrays, _ = some_items(fw, rng, [3, 1, 5])
    arrays += [np.arange(6, dtype="int64").reshape(2, 3), np.array(2.5, "float32"), np.zeros((0, 2), "float32")]
    dataset = impl.CachedDataset(Source([fw.array(array) for array in arrays]), 1000)
    assert len(dataset) == 6, f"the source has 6 items, and the length is {len(dataset)}"
    for index in [*range(6), *range(-6, 0)]:
        fw.close(dataset[index], arrays[index], of=f"item {index}", rtol=0, atol=0)


@plain_dataset
def test_an_index_past_either_end_is_refused_and_never_loaded(impl, fw, rng):
    _, tensors = some_items(fw, rng, [2, 2, 2])
    for items, index in [(tensors, 3), (tensors, -4), ([], 0), ([], -1)]:
        source = Source(items)
        with pytest.raises(IndexError):
            impl.CachedDataset(source, 100)[index]
        assert not source.asked, f"the index {index} of {len(items)} items must not reach the source"


@plain_dataset
def test_a_negative_budget_is_refused(impl):
    with pytest.raises(ValueError):
        impl.CachedDataset(Source([]), -1)


@hits_and_misses
def test_an_item_is_loaded_when_it_is_first_asked_for_and_not_again(impl, fw, rng):
    items = some_items(fw, rng, [3, 1, 5])
    dataset = impl.CachedDataset(source := Source(items[1]), 1000)
    check_loads(source, [], "before anything is asked for")
    check_counts(dataset, "at the beginning", hits=0, misses=0, evictions=0, bytes_held=0)
    follow(impl, fw, [1, 1, 0, 1, 2, 0, 2], items, 1000)


@hits_and_misses
def test_the_last_item_is_one_item_by_either_of_its_numbers(impl, fw, rng):
    arrays, tensors = some_items(fw, rng, [3, 2])
    dataset = impl.CachedDataset(source := Source(tensors), 1000)
    for index in (-1, 1, -2, 0):
        fw.close(dataset[index], arrays[index], of=f"item {index}")
    check_loads(source, [1, 0], "of two items, -1 is 1 and -2 is 0; after all four")
    check_counts(dataset, "after -1, 1, -2 and 0", hits=2)


@hits_and_misses
def test_the_transform_runs_each_time_and_the_source_once(impl, fw, rng):
    """A cache behind a random transform would give the same augmentation in every epoch."""
    arrays, tensors = some_items(fw, rng, [3])
    factors = iter([1.0, 2.0, 3.0])
    dataset = impl.CachedDataset(source := Source(tensors), 1000, transform=lambda item: item * next(factors))
    for factor in (1.0, 2.0, 3.0):
        fw.close(dataset[0], factor * arrays[0], of=f"the item whose transform multiplies by {factor:g}")
    check_loads(source, [0], "after three accesses to one item")


@hits_and_misses
def test_the_item_is_what_the_transform_returns(impl, fw, rng):
    _, tensors = some_items(fw, rng, [3])
    made = {"label": 3}
    dataset = impl.CachedDataset(Source(tensors), 1000, transform=lambda item: made)
    came_back = dataset[0] is made and dataset[0] is made
    assert came_back, "the item must be the very object that the transform returned"


@hits_and_misses
@pytest.mark.parametrize("who", ["the caller", "the transform"])
def test_writing_into_an_item_does_not_reach_what_is_kept(impl, fw, rng, who):
    arrays, tensors = some_items(fw, rng, [3])
    seen = []

    def look_and_spoil(item):
        seen.append(fw.numpy(item))
        fw.spoil(item)

    dataset = impl.CachedDataset(Source(tensors), 1000, look_and_spoil if who == "the transform" else None)
    for access in range(3):
        item = dataset[0]
        if who == "the caller":
            look_and_spoil(item)
        fw.close(fw.array(seen[access]), arrays[0], of=f"item 0 at access {access}, after {who} wrote into it")


@least_recently_used
def test_a_hit_makes_an_item_young_again(impl, fw, rng):
    """Room for two: whoever goes by the order of loading throws out the item that was just used."""
    follow(impl, fw, [0, 1, 0, 2, 0, 1, 0], some_items(fw, rng, [2, 2, 2]), 16)


@least_recently_used
def test_what_was_just_loaded_stays(impl, fw, rng):
    follow(impl, fw, [0, 1, 1, 2, 2, 0, 0], some_items(fw, rng, [2, 2, 2]), 8)


@least_recently_used
@pytest.mark.parametrize("budget", [40, 64, 100])
def test_long_walks_over_items_of_unequal_size(impl, fw, rng, budget):
    items = some_items(fw, rng, [1, 2, 3, 4, 5, 6, 7, 10])
    follow(impl, fw, rng.integers(0, 8, size=150).tolist(), items, budget)


@edges
@pytest.mark.parametrize("budget", [0, 7, 8, 9, 31, 32])
def test_the_budget_to_the_byte(impl, fw, rng, budget):
    """An item that is larger than all of the budget passes through, and nobody leaves for it."""
    follow(impl, fw, [0, 1, 0, 2, 0, 1, 2, 3, 1, 0, 3, 3], some_items(fw, rng, [2, 2, 8, 4]), budget)


@edges
def test_an_item_of_no_bytes_is_kept_too(impl, fw, rng):
    follow(impl, fw, [0, 0, 1, 0, 2, 0], some_items(fw, rng, [0, 2, 2]), 8)


@edges
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64", "bool"])
def test_bytes_and_no_elements_are_counted(impl, fw, rng, dtype):
    array = rng.integers(0, 2, size=(3, 4, 5)).astype(dtype)
    dataset = impl.CachedDataset(Source([fw.array(array, dtype)]), 1000)
    fw.close(dataset[0], array, of="item 0", dtype=dtype)
    check_counts(dataset, f"60 elements of {dtype}", bytes_held=array.nbytes)


@edges
@pytest.mark.parametrize("error", [OSError, KeyError, KeyboardInterrupt])
def test_a_load_that_failed_leaves_nothing_behind(impl, fw, rng, error):
    arrays, tensors = some_items(fw, rng, [2, 2])
    mine, failing = error("the disk's own"), True

    def on_load(index):
        if failing and index == 1:
            raise mine

    dataset = impl.CachedDataset(source := Source(tensors, on_load), 16)
    dataset[0]
    for _ in range(2):
        with pytest.raises(error) as caught:
            dataset[1]
        assert caught.value is mine, f"the source raised {mine!r}, but {caught.value!r} arrived"
        check_counts(dataset, "after a load that failed", bytes_held=8, evictions=0)
    failing = False
    fw.close(dataset[1], arrays[1], of="item 1, after two loads that failed")
    dataset[0], dataset[1]
    check_loads(source, [0, 1, 1, 1], "two loads of item 1 failed")
    check_counts(dataset, "two loads of item 1 failed", hits=2, misses=4)


@edges
def test_an_error_of_the_transform_comes_through_and_the_item_stays(impl, fw, rng):
    _, tensors = some_items(fw, rng, [2])
    mine = RuntimeError("the transform's own")

    def transform(item):
        raise mine

    dataset = impl.CachedDataset(source := Source(tensors), 16, transform)
    for _ in range(2):
        with pytest.raises(RuntimeError) as caught:
            dataset[0]
        assert caught.value is mine, f"the transform raised {mine!r}, but {caught.value!r} arrived"
    check_loads(source, [0], "what was loaded is kept, whatever the transform does")


@edges
def test_a_view_does_not_keep_what_it_looks_into(impl, fw, rng):
    """Two numbers of a large image must not hold the whole image in memory."""
    arrays, tensors = some_items(fw, rng, [1000] * 20)

    class Views(Source):
        def __getitem__(self, index):
            return (2 * self.items[index])[:2]

    dataset = impl.CachedDataset(Views(tensors), 1000)

    def read_all():
        for index, array in enumerate(arrays):
            fw.close(dataset[index], 2 * array[:2], of=f"item {index}")

    peak = fw.peak_bytes(read_all)
    assert peak < 5 * 4000, f"the cache counts 8 bytes for each of 20 views, and keeps {peak} alive: copy the view"


def giving_way(file):
    """A trace function for threads: before each line of the file other threads get their turn."""

    def trace(frame, event, argument):
        if frame.f_code.co_filename == file:
            time.sleep(0)
            return trace

    return trace


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
    done, hanging = wait(futures, timeout=6, return_when=FIRST_EXCEPTION)
    for future in done:
        future.result()  # raises the error of a thread
    assert not hanging, "a thread hangs: it waits for something that nobody will do"
    return [future.result() for future in futures]


@threads
def test_threads_that_want_the_same_item_load_it_once(impl, fw, rng):
    arrays, tensors = some_items(fw, rng, [3])
    dataset = impl.CachedDataset(source := Source(tensors, on_load=lambda index: time.sleep(0.1)), 1000)
    for item in at_once(8, lambda which: dataset[0]):
        fw.close(item, arrays[0], of="item 0, asked for by eight threads at once")
        fw.spoil(item)  # what one thread writes must not reach the others
    check_loads(source, [0], "eight threads asked for one item at once")
    check_counts(dataset, "eight threads asked for one item at once", hits=7, misses=1, bytes_held=12)


@threads
@pytest.mark.parametrize("what", ["load", "transform"])
def test_no_thread_waits_for_an_item_that_it_does_not_want(impl, fw, rng, what):
    """Items 0 and 1 each wait until the other is being worked on, too; item 2 is kept, and its hit waits for nobody."""
    arrays, tensors = some_items(fw, rng, [3, 4, 5])
    meeting = threading.Barrier(3, timeout=4)

    def meet(index):
        if index < 2:
            meeting.wait()

    def transform(item):
        meet(len(item) - 3)
        return item

    source, transform = (Source(tensors, meet), None) if what == "load" else (Source(tensors), transform)
    dataset = impl.CachedDataset(source, 1000, transform)
    dataset[2]

    def work(which):
        item = dataset[which]
        if which == 2:
            meeting.wait()
        return item

    try:
        found = at_once(3, work)
    except threading.BrokenBarrierError:
        found = None
    assert found, f"while one thread is busy with a {what}, others that want other items must wait for it"
    fw.close_all(found, arrays, ["item 0", "item 1", "item 2"])


@threads
def test_a_load_that_fails_leaves_no_thread_waiting(impl, fw, rng):
    arrays, tensors = some_items(fw, rng, [3])
    failing = True

    def on_load(index):
        time.sleep(0.05)
        if failing:
            raise OSError("the disk's own")

    dataset = impl.CachedDataset(Source(tensors, on_load), 1000)

    def work(which):
        with pytest.raises(OSError, match="the disk's own"):
            dataset[0]

    at_once(4, work)
    failing = False
    fw.close_all(at_once(1, lambda which: dataset[0]), arrays, ["item 0, after its load had failed"])


@threads
def test_the_books_are_right_after_many_threads(impl, fw, rng):
    """Eight threads, twelve items of 8 bytes, room for five; the threads take turns at every line of your code."""
    arrays, tensors = some_items(fw, rng, [2] * 12)
    dataset = impl.CachedDataset(source := Source(tensors), 40)
    walks = rng.integers(0, 12, size=(8, 30)).tolist()

    def walk(which):
        return [(index, fw.numpy(dataset[index]), dataset.bytes_held) for index in walks[which]]

    try:
        found = sum(at_once(8, walk, giving_way(impl.__file__)), [])
    except LookupError:
        found = None
    assert found, "eight threads at once meet a KeyError that one alone does not: the books need a lock"
    for index, item, _ in found:
        assert np.array_equal(item, arrays[index]), f"a thread asked for item {index} and got another one"
    most = max(held for _, _, held in found)
    assert most <= 40, f"the budget is 40 bytes, and a thread read {most} in bytes_held: the books need a lock"
    loads = len(source.asked)
    story = f"240 accesses, {loads} loads, room for five items of 8 bytes"
    check_counts(dataset, story, hits=240 - loads, misses=loads, evictions=loads - 5, bytes_held=40)


def check_batches(fw, loader, arrays, batch_size, of):
    found, starts = list(loader), range(0, len(arrays), batch_size)
    count, expected = len(found), len(starts)
    assert count == expected, f"{of}: {len(arrays)} items in batches of {batch_size} are {expected}, not {count}"
    for start, batch in zip(starts, found, strict=True):
        fw.close(batch, arrays[start : start + batch_size], of=f"the batch that begins at item {start} in {of}")


@workers_and_batches
@pytest.mark.parametrize("number, batch_size", [(7, 3), (4, 2), (2, 5), (0, 2)])
def test_batches_hold_every_item_in_order(impl, fw, rng, number, batch_size):
    arrays = rng.standard_normal((number, 2, 3)).astype("float32")
    source, factors = Source([fw.array(array) for array in arrays]), iter([1.0] * number + [-1.0] * number)
    loader = impl.batches(impl.CachedDataset(source, 10_000, lambda item: item * next(factors)), batch_size)
    check_batches(fw, loader, arrays, batch_size, of="the first pass")
    check_batches(fw, loader, -arrays, batch_size, of="the second pass, transformed otherwise")
    check_loads(source, list(range(number)), "in two passes")


@workers_and_batches
@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
def test_a_copy_takes_no_kept_item_along(impl, fw, rng, way):
    """Neither locks nor a gigabyte of cache can be sent to a worker."""
    arrays, tensors = some_items(fw, rng, [2, 3])
    dataset, small = impl.CachedDataset(tensors, 1000, operator.neg), impl.CachedDataset(tensors, 8)
    check_counts(dataset, "at the beginning", hits=0, misses=0)
    for index in (0, 1, 1):
        dataset[index]
    sent = pickle.loads(pickle.dumps(dataset)) if way == "pickle" else copy.deepcopy(dataset)
    check_counts(sent, "a copy begins with an empty cache", hits=0, misses=0, evictions=0, bytes_held=0)
    assert len(sent) == 2, f"the copy's length is {len(sent)}, not 2"
    for index in (0, 1, 0):
        fw.close(sent[index], -arrays[index], of=f"item {index} of the copy")
    check_counts(sent, "the copy, asked for 0, 1 and 0", hits=1, misses=2, bytes_held=20)
    check_counts(dataset, "the original, while the copy was asked", hits=1, misses=2)
    copied = pickle.loads(pickle.dumps(small))
    copied[1], copied[0]
    check_counts(copied, "a copy with a budget of 8 bytes", bytes_held=8)


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


@workers_and_batches
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_load_each_item_once_in_two_passes(impl, fw, rng, tmp_path, workers):
    """Processes: a cache in each. Threads: two loads at once, as the first waits for another."""
    arrays = rng.standard_normal((6, 3)).astype("float32")
    log, another, waits = tmp_path / "loads", threading.Event(), []

    def on_load(index):
        with log.open("a") as file:
            file.write(f"{index} {os.getpid()}\n")
        if workers == 2 and not fw.loads_in_processes:
            if index == 0:
                waits.append(another.wait(3))
            another.set()

    dataset = impl.CachedDataset(Source([fw.array(array) for array in arrays], on_load), 1000)
    with forked():
        loader = impl.batches(dataset, 2, workers=workers)
        check_batches(fw, loader, arrays, 2, of="the first pass")
        check_batches(fw, loader, arrays, 2, of="the second pass")
        noted = getattr(loader, "workers", 0)
        del loader
        gc.collect()  # the worker processes end
    loads, processes = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    if fw.loads_in_processes:
        number = len(set(processes) - {str(os.getpid())})
        assert number == workers, f"{workers} worker processes were asked for; {number} other than the parent loaded"
    elif workers == 2:  # a PyDataset only notes the number: Model.fit starts the threads
        parallel = waits[0] or noted == 2
        assert parallel, "two workers were asked for, and yet each item waits for the one before it"
    assert sorted(loads) == list("012345"), (
        f"in two passes each item should be loaded once, and loaded were {sorted(map(int, loads))}: "
        "does the cache live on from one pass to the next?"
    )


@contextmanager
def loading_item_0(impl, fw, rng):
    """A dataset of two items, and their arrays, while a thread is loading item 0."""
    arrays, tensors = some_items(fw, rng, [2, 2])
    loading, done = threading.Event(), threading.Event()

    def on_load(index):
        if not loading.is_set():
            loading.set()
            done.wait(10)

    dataset = impl.CachedDataset(Source(tensors, on_load), 1000)
    with ThreadPoolExecutor(1) as pool:
        item = pool.submit(lambda: dataset[0])
        try:
            assert loading.wait(5), "the source was not asked for item 0"
            yield dataset, arrays
        finally:
            done.set()
        fw.close(item.result(timeout=5), arrays[0], of="item 0 of the original")


@workers_and_batches
def test_a_copy_waits_for_no_load_of_the_original(impl, fw, rng):
    """The copy loads item 0 for itself."""
    with loading_item_0(impl, fw, rng) as (dataset, arrays):

        def read_a_copy(which):
            copied = copy.deepcopy(dataset)
            return copied, [copied[index] for index in (0, 1, 0)]

        ((copied, found),) = at_once(1, read_a_copy)
        fw.close_all(found, [arrays[0], arrays[1], arrays[0]], [f"item {index} of the copy" for index in (0, 1, 0)])
        check_counts(copied, "the copy, asked for 0, 1 and 0", hits=1, misses=2, bytes_held=16)


@workers_and_batches
def test_a_forked_worker_waits_for_no_thread_of_its_parent(impl, fw, rng):
    if not fw.loads_in_processes:
        pytest.skip("the workers are threads: nothing is forked")
    with loading_item_0(impl, fw, rng) as (dataset, arrays), forked():
        receiver, sender = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.Process(target=lambda: sender.send([fw.numpy(dataset[i]) for i in (0, 1)]))
        worker.start()
        answered = receiver.poll(5)
        found = receiver.recv() if answered else None
        worker.kill()
        worker.join()
        assert answered, "the worker hangs: it waits for a lock, or for a load, of a thread that it does not have"
        names = [f"item {index}, loaded by the forked worker" for index in (0, 1)]
        fw.close_all([fw.array(array) for array in found], arrays, names)
