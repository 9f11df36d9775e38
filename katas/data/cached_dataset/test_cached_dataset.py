"""Levels of the cached_dataset kata. What a cache must do is told by `by_the_book`, with a plain list."""

import copy
import multiprocessing
import operator
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from dojo import level
from katas.data.cached_dataset.cached_dataset_support import Source, at_once, by_the_book, cached, forked, giving_way

plain_dataset = level(1, "a dataset")
hits_and_misses = level(2, "hits and misses")
least_recently_used = level(3, "least recently used", points=2)
edges = level(4, "edges", points=2)
threads = level(5, "threads", points=3)
workers_and_batches = level(6, "workers", points=2)


def check(story, dataset, source=None, loads=None, **counts):
    """What the source was asked for, and those of the dataset's counts that are named."""
    loaded, found = source and source.asked, {name: getattr(dataset, name) for name in counts}
    assert loads is None or loaded == loads, f"{story}: the source should load {loads}, and loaded {loaded}"
    assert found == counts, f"{story}: the counts should be {counts}, and are {found}"


def check_items(fw, dataset, arrays, indices, of="item"):
    for index in indices:
        fw.close(dataset[index], arrays[index], of=f"{of} {index}", rtol=0, atol=0)


def follow(impl, fw, rng, trace, sizes, max_bytes):
    """Walk the trace and compare with the book after every step."""
    arrays, source, dataset = cached(impl, fw, rng, sizes, max_bytes)
    sizes = [array.nbytes for array in arrays]
    for step, (loads, counts) in enumerate(by_the_book(trace, sizes, max_bytes)):
        source.asked.clear()
        check_items(fw, dataset, arrays, [trace[step]])
        story = f"{sizes} bytes, a budget of {max_bytes}, accesses {trace[: step + 1]}, at the last of them"
        check(story, dataset, source, loads, **counts)


def check_error(dataset, index, error):
    with pytest.raises(type(error)) as caught:
        dataset[index]
    assert caught.value is error, f"{error!r} was raised, but {caught.value!r} arrived"


@plain_dataset
def test_each_index_gives_its_item(impl, fw, rng):
    arrays = [rng.standard_normal(size).astype("float32") for size in (3, 1, 5)]
    arrays += [np.arange(6, dtype="int64").reshape(2, 3), np.array(2.5, "float32"), np.zeros((0, 2), "float32")]
    dataset = impl.CachedDataset(Source([fw.array(array) for array in arrays]), 1000)
    assert len(dataset) == 6, f"the source has 6 items, and the length is {len(dataset)}"
    check_items(fw, dataset, arrays, [*range(6), *range(-6, 0)])


@plain_dataset
def test_an_index_past_either_end_is_refused_and_never_loaded(impl, fw, rng):
    for size, index in [(3, 3), (3, -4), (0, 0), (0, -1)]:
        _, source, dataset = cached(impl, fw, rng, [2] * size)
        with pytest.raises(IndexError):
            dataset[index]
        assert not source.asked, f"the index {index} of {size} items must not reach the source"


@plain_dataset
def test_a_negative_budget_is_refused(impl):
    with pytest.raises(ValueError):
        impl.CachedDataset(Source([]), -1)


@hits_and_misses
def test_an_item_is_loaded_when_it_is_first_asked_for_and_not_again(impl, fw, rng):
    _, source, dataset = cached(impl, fw, rng, [3, 1, 5])
    check("at the beginning", dataset, source, loads=[], hits=0, misses=0, evictions=0, bytes_held=0)
    follow(impl, fw, rng, [1, 1, 0, 1, 2, 0, 2], [3, 1, 5], 1000)


@hits_and_misses
def test_the_last_item_is_one_item_by_either_of_its_numbers(impl, fw, rng):
    arrays, source, dataset = cached(impl, fw, rng, [3, 2])
    check_items(fw, dataset, arrays, [-1, 1, -2, 0])
    check("of two items, -1 is 1 and -2 is 0; after -1, 1, -2 and 0", dataset, source, loads=[1, 0], hits=2)


@hits_and_misses
def test_the_transform_runs_each_time_and_the_source_once(impl, fw, rng):
    """A cache behind a random transform would give the same augmentation in every epoch."""
    factors = iter([1.0, 2.0, 3.0])
    arrays, source, dataset = cached(impl, fw, rng, [3], transform=lambda item: item * next(factors))
    for factor in (1.0, 2.0, 3.0):
        fw.close(dataset[0], factor * arrays[0], of=f"the item whose transform multiplies by {factor:g}")
    check("after three accesses to one item", dataset, source, loads=[0])


@hits_and_misses
def test_the_item_is_what_the_transform_returns(impl, fw, rng):
    made = {"label": 3}
    _, _, dataset = cached(impl, fw, rng, [3], transform=lambda item: made)
    came_back = dataset[0] is made and dataset[0] is made
    assert came_back, "the item must be the very object that the transform returned"


@hits_and_misses
@pytest.mark.parametrize("who", ["the caller", "the transform"])
def test_writing_into_an_item_does_not_reach_what_is_kept(impl, fw, rng, who):
    seen = []

    def look_and_spoil(item):
        seen.append(fw.numpy(item))
        fw.spoil(item)

    arrays, _, dataset = cached(impl, fw, rng, [3], transform=look_and_spoil if who == "the transform" else None)
    for access in range(3):
        item = dataset[0]
        if who == "the caller":
            look_and_spoil(item)
        fw.close(fw.array(seen[access]), arrays[0], of=f"item 0 at access {access}, after {who} wrote into it")


@least_recently_used
def test_a_hit_makes_an_item_young_again(impl, fw, rng):
    """Room for two: whoever goes by the order of loading throws out the item that was just used."""
    follow(impl, fw, rng, [0, 1, 0, 2, 0, 1, 0], [2, 2, 2], 16)


@least_recently_used
def test_what_was_just_loaded_stays(impl, fw, rng):
    follow(impl, fw, rng, [0, 1, 1, 2, 2, 0, 0], [2, 2, 2], 8)


@least_recently_used
@pytest.mark.parametrize("budget", [40, 64, 100])
def test_long_walks_over_items_of_unequal_size(impl, fw, rng, budget):
    follow(impl, fw, rng, rng.integers(0, 8, size=150).tolist(), [1, 2, 3, 4, 5, 6, 7, 10], budget)


@edges
@pytest.mark.parametrize("budget", [0, 7, 8, 9, 31, 32])
def test_the_budget_to_the_byte(impl, fw, rng, budget):
    """An item that is larger than all of the budget passes through, and nobody leaves for it."""
    follow(impl, fw, rng, [0, 1, 0, 2, 0, 1, 2, 3, 1, 0, 3, 3], [2, 2, 8, 4], budget)


@edges
def test_an_item_of_no_bytes_is_kept_too(impl, fw, rng):
    follow(impl, fw, rng, [0, 0, 1, 0, 2, 0], [0, 2, 2], 8)


@edges
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64", "bool"])
def test_bytes_and_no_elements_are_counted(impl, fw, rng, dtype):
    array = rng.integers(0, 2, size=(3, 4, 5)).astype(dtype)
    dataset = impl.CachedDataset(Source([fw.array(array, dtype)]), 1000)
    fw.close(dataset[0], array, of="item 0", dtype=dtype)
    check(f"60 elements of {dtype}", dataset, bytes_held=array.nbytes)


@edges
@pytest.mark.parametrize("error", [OSError, KeyError, KeyboardInterrupt])
def test_a_load_that_failed_leaves_nothing_behind(impl, fw, rng, error):
    mine, failing = error("the disk's own"), True

    def on_load(index):
        if failing and index == 1:
            raise mine

    arrays, source, dataset = cached(impl, fw, rng, [2, 2], 16, on_load)
    dataset[0]
    for _ in range(2):
        check_error(dataset, 1, mine)
        check("after a load that failed", dataset, bytes_held=8, evictions=0)
    failing = False
    check_items(fw, dataset, arrays, [1, 0, 1], of="after two loads that failed, item")
    check("two loads of item 1 failed", dataset, source, loads=[0, 1, 1, 1], hits=2, misses=4)


@edges
def test_an_error_of_the_transform_comes_through_and_the_item_stays(impl, fw, rng):
    mine = RuntimeError("the transform's own")

    def transform(item):
        raise mine

    _, source, dataset = cached(impl, fw, rng, [2], 16, transform=transform)
    for _ in range(2):
        check_error(dataset, 0, mine)
    check("what was loaded is kept, whatever the transform does", dataset, source, loads=[0])


class Views(Source):
    def __getitem__(self, index):
        return (2 * super().__getitem__(index))[:2]


@edges
def test_a_view_does_not_keep_what_it_looks_into(impl, fw, rng):
    """Two numbers of a large image must not hold the whole image in memory."""
    arrays, source, _ = cached(impl, fw, rng, [1000] * 20)
    dataset, expected = impl.CachedDataset(Views(source), 1000), [2 * array[:2] for array in arrays]
    peak = fw.peak_bytes(check_items, fw, dataset, expected, range(20))
    assert peak < 5 * 4000, f"the cache counts 8 bytes for each of 20 views, and keeps {peak} alive: copy the view"


@threads
def test_threads_that_want_the_same_item_load_it_once(impl, fw, rng):
    arrays, source, dataset = cached(impl, fw, rng, [3], on_load=lambda index: time.sleep(0.1))
    for item in at_once(8, lambda which: dataset[0]):
        fw.close(item, arrays[0], of="item 0, asked for by eight threads at once")
        fw.spoil(item)  # what one thread writes must not reach the others
    check("eight threads asked for one item at once", dataset, source, loads=[0], hits=7, misses=1, bytes_held=12)


@threads
@pytest.mark.parametrize("what", ["load", "transform"])
def test_no_thread_waits_for_an_item_that_it_does_not_want(impl, fw, rng, what):
    """Items 0 and 1 each wait until the other is being worked on, too; item 2 is kept, and its hit waits for nobody."""
    meeting = threading.Barrier(3, timeout=4)

    def meet(index):
        if index < 2:
            meeting.wait()

    options = {"on_load": meet} if what == "load" else {"transform": lambda item: meet(len(item) - 3) or item}
    arrays, _, dataset = cached(impl, fw, rng, [3, 4, 5], **options)
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
    mine, failing = OSError("the disk's own"), True

    def on_load(index):
        time.sleep(0.05)
        if failing:
            raise mine

    arrays, _, dataset = cached(impl, fw, rng, [3], on_load=on_load)
    at_once(4, lambda which: check_error(dataset, 0, mine))
    failing = False
    fw.close_all(at_once(1, lambda which: dataset[0]), arrays, ["item 0, after its load had failed"])


@threads
def test_the_books_are_right_after_many_threads(impl, fw, rng):
    """Eight threads, twelve items of 8 bytes, room for five; the threads take turns at every line of your code."""
    arrays, source, dataset = cached(impl, fw, rng, [2] * 12, max_bytes=40)
    walks = rng.integers(0, 12, size=(8, 30)).tolist()

    def walk(which):
        return [(index, fw.numpy(dataset[index]), dataset.bytes_held) for index in walks[which]]

    try:
        found = [access for accesses in at_once(8, walk, giving_way(impl.__file__)) for access in accesses]
    except LookupError:
        found = None
    assert found, "eight threads at once meet a KeyError that one alone does not: the books need a lock"
    for index, item, _ in found:
        assert np.array_equal(item, arrays[index]), f"a thread asked for item {index} and got another one"
    most, loads = max(held for _, _, held in found), len(source.asked)
    assert most <= 40, f"the budget is 40 bytes, and a thread read {most} in bytes_held: the books need a lock"
    story = f"240 accesses, {loads} loads, room for five items of 8 bytes"
    check(story, dataset, hits=240 - loads, misses=loads, evictions=loads - 5, bytes_held=40)


def check_batches(fw, loader, arrays, batch_size, of):
    found, starts = list(loader), range(0, len(arrays), batch_size)
    assert len(found) == len(starts), f"{of} has {len(found)} batches, and not {len(starts)} of {batch_size} items"
    for start, batch in zip(starts, found, strict=True):
        fw.close(batch, arrays[start : start + batch_size], of=f"the batch that begins at item {start} in {of}")


@workers_and_batches
@pytest.mark.parametrize("number, batch_size", [(7, 3), (4, 2), (2, 5), (0, 2)])
def test_batches_hold_every_item_in_order(impl, fw, rng, number, batch_size):
    factors = iter([1.0] * number + [-1.0] * number)
    arrays, source, dataset = cached(impl, fw, rng, [(2, 3)] * number, transform=lambda item: item * next(factors))
    loader, arrays = impl.batches(dataset, batch_size), np.array(arrays)
    check_batches(fw, loader, arrays, batch_size, of="the first pass")
    check_batches(fw, loader, -arrays, batch_size, of="the second pass, transformed otherwise")
    check("in two passes", dataset, source, loads=list(range(number)))


@workers_and_batches
@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
def test_a_copy_takes_no_kept_item_along(impl, fw, rng, way):
    """Neither locks nor a gigabyte of cache can be sent to a worker."""
    arrays, source, _ = cached(impl, fw, rng, [2, 3])
    tensors, negated = list(source), [-array for array in arrays]
    dataset, small = impl.CachedDataset(tensors, 1000, operator.neg), impl.CachedDataset(tensors, 8)
    check("at the beginning", dataset, hits=0, misses=0)
    check_items(fw, dataset, negated, [0, 1, 1])
    sent = pickle.loads(pickle.dumps(dataset)) if way == "pickle" else copy.deepcopy(dataset)
    check("a copy begins with an empty cache", sent, hits=0, misses=0, evictions=0, bytes_held=0)
    assert len(sent) == 2, f"the copy's length is {len(sent)}, not 2"
    check_items(fw, sent, negated, [0, 1, 0], of="of the copy, item")
    check("the copy, asked for 0, 1 and 0", sent, hits=1, misses=2, bytes_held=20)
    check("the original, while the copy was asked", dataset, hits=1, misses=2)
    copied = pickle.loads(pickle.dumps(small))
    check_items(fw, copied, arrays, [1, 0], of="of the small copy, item")
    check("a copy with a budget of 8 bytes", copied, bytes_held=8)


@workers_and_batches
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_load_each_item_once_in_two_passes(impl, fw, rng, tmp_path, workers):
    """Processes: a cache in each. Threads: two loads at once, as the first waits for another."""
    log, another, waits = tmp_path / "loads", threading.Event(), []

    def on_load(index):
        with log.open("a") as file:
            file.write(f"{index} {os.getpid()}\n")
        if workers == 2 and not fw.loads_in_processes:
            if index == 0:
                waits.append(another.wait(3))
            another.set()

    arrays, _, dataset = cached(impl, fw, rng, [3] * 6, on_load=on_load)
    with forked():
        loader = impl.batches(dataset, 2, workers=workers)
        for order in ("first", "second"):
            check_batches(fw, loader, np.array(arrays), 2, of=f"the {order} pass")
    loads, processes = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    loads, number = sorted(map(int, loads)), len(set(processes) - {str(os.getpid())})
    if fw.loads_in_processes:
        assert number == workers, f"{workers} worker processes were asked for; {number} other than the parent loaded"
    elif workers == 2:  # a PyDataset only notes the number: Model.fit starts the threads
        parallel = waits[0] or getattr(loader, "workers", 0) == 2
        assert parallel, "two workers were asked for, and yet each item waits for the one before it"
    assert loads == [*range(6)], f"loaded in two passes: {loads}. Does the cache live on from one pass to the next?"


@contextmanager
def loading_item_0(impl, fw, rng):
    """A dataset of two items, and their arrays, while a thread is loading item 0."""
    loading, done = threading.Event(), threading.Event()

    def on_load(index):
        if not loading.is_set():
            loading.set()
            done.wait(10)

    arrays, _, dataset = cached(impl, fw, rng, [2, 2], on_load=on_load)
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
    with loading_item_0(impl, fw, rng) as (dataset, arrays):

        def read_a_copy(which):
            copied = copy.deepcopy(dataset)
            check_items(fw, copied, arrays, [0, 1, 0], of="of the copy, item")
            check("the copy, asked for 0, 1 and 0", copied, hits=1, misses=2, bytes_held=16)

        at_once(1, read_a_copy)


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
        fw.close_all([fw.array(array) for array in found], arrays, ["item 0 of the worker", "item 1 of the worker"])
