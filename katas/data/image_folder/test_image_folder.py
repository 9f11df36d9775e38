"""Levels of the image_folder kata. The files are real ones, written by Pillow: what was written must be read."""

import io
import multiprocessing
import operator
import pickle
import re
import shutil
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dojo import level

which_files = level(1, "which files")
pixels_level = level(2, "pixels", points=2)
all_rgb = level(3, "all to RGB")
transforms_demand = level(4, "transforms, on demand")
corrupt_files_raise = level(5, "corrupt files raise", points=2)
corrupt_files_skipped = level(6, "corrupt files skipped", points=2)
batches_workers = level(7, "batches and workers", points=2)

JPEG = 0.1  # two decoders (Pillow's and TensorFlow's) were measured 18 of 255 steps apart on a photo


def picture(rng, height=6, width=5):
    """Random pixels, (height, width, 3), uint8."""
    return rng.integers(0, 256, size=(height, width, 3), dtype="uint8")


def encoded(pixels, kind="PNG", mode=None):
    """The bytes of an image file."""
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(file, kind)
    return file.getvalue()


def write_numbered(folder, rng, number, height=6, width=5):
    """`number` PNG files, 00.png and on; returns their pixels as floats, (number, height, width, 3)."""
    pictures = [picture(rng, height, width) for _ in range(number)]
    for index, pixels in enumerate(pictures):
        (folder / f"{index:02}.png").write_bytes(encoded(pixels))
    return np.array(pictures).reshape(number, height, width, 3) / 255


def names(paths):
    return [Path(path).name for path in paths]


def close(fw, item, expected, of, atol=1e-6):
    """An item of a dataset, or a batch, in the framework's own layout, against (…, height, width, 3)."""
    expected = np.asarray(expected, "float64")
    layout = np.moveaxis(expected, -1, -3) if fw.name == "torch" else expected
    fw.close(item, layout, of=of, rtol=0, atol=atol)


def corrupt_file(rng, kind):
    """The bytes of a file that looks like an image, more or less, and is none."""
    png, jpeg = encoded(picture(rng, 64, 64)), encoded(picture(rng, 64, 64), "JPEG")
    return {
        "empty": b"",
        "text": b"<html>404 not found</html>",
        "short jpeg": jpeg[: len(jpeg) // 2],
        "short png": png[: len(png) // 2],
        "broken png": png[:200] + bytes(200) + png[400:],
        "short header": png[:11] + bytes([5]) + png[12:],  # five bytes of it in place of thirteen
    }[kind]


CORRUPT = ["empty", "text", "short jpeg", "short png", "broken png", "short header"]


# ---------------------------------------------------------------------- level 1


@which_files
@pytest.mark.parametrize("kind", [str, Path], ids=["text", "path"])
def test_the_images_are_found_and_sorted_by_name(impl, tmp_path, rng, kind):
    """Every other file, and a folder with an image's name, is left alone."""
    images = ["10.png", "9.png", "B.PNG", "C.Jpg", "D.jpeg", "a.png", "e.JPEG", "f.jpg", "two.dots.png"]
    others = ["notes.txt", "a.png.bak", "movie.gif", "jpg", "png.md", "xpng"]
    for name in rng.permutation(images + others):
        (tmp_path / name).write_bytes(encoded(picture(rng), "JPEG" if ".j" in name.lower() else "PNG"))
    (tmp_path / "inner.png").mkdir()
    (tmp_path / "inner.png" / "deep.png").write_bytes(encoded(picture(rng)))
    dataset = impl.ImageFolder(kind(tmp_path))
    found, expected = names(dataset.paths), sorted(images)
    assert sorted(found) == expected, (
        f"in a folder with {sorted(images + others)} the images are {expected}, not {found}"
    )
    assert found == expected, f"paths must be sorted by name, {expected}, not {found}"
    assert len(dataset) == len(expected), f"the length is {len(dataset)}; there are {len(expected)} images"


@which_files
def test_a_folder_without_images_is_a_dataset_of_length_zero(impl, tmp_path):
    assert len(impl.ImageFolder(tmp_path)) == 0, "an empty folder must be a dataset of length 0"
    (tmp_path / "notes.txt").write_text("no image")
    dataset = impl.ImageFolder(tmp_path)
    assert len(dataset) == 0, "a folder with nothing but a text file must be a dataset of length 0"
    assert list(dataset.paths) == [] and list(dataset.corrupt) == [], "both lists of paths must be empty"


@which_files
def test_a_folder_that_is_not_there_is_refused(impl, tmp_path):
    with pytest.raises(FileNotFoundError):
        impl.ImageFolder(tmp_path / "nowhere")


@which_files
@pytest.mark.parametrize("on_corrupt", ["ignore", "", None])
def test_an_unknown_way_with_corrupt_files_is_refused(impl, tmp_path, on_corrupt):
    with pytest.raises(ValueError):
        impl.ImageFolder(tmp_path, on_corrupt=on_corrupt)


# ---------------------------------------------------------------------- level 2


@pixels_level
def test_each_index_gives_the_pixels_of_its_file(impl, fw, tmp_path, rng):
    """Files of several sizes, all read before any is looked at."""
    pictures = [picture(rng, *size) for size in [(1, 1), (5, 7), (1, 9), (37, 53), (4, 4)]]
    pictures[0][:] = 255
    for name, pixels in zip("edcba", reversed(pictures), strict=True):
        (tmp_path / f"{name}.png").write_bytes(encoded(pixels))
    dataset = impl.ImageFolder(tmp_path)
    items = [dataset[index] for index in range(len(pictures))]
    for index, (item, pixels) in enumerate(zip(items, pictures, strict=True)):
        close(fw, item, pixels / 255, of=f"item {index}")


@pixels_level
def test_a_real_photo_in_jpeg(impl, fw, tmp_path):
    """One of the sample images that scikit-learn brings; the package need not be imported for it."""
    photo = Path(find_spec("sklearn").origin).parent / "datasets" / "images" / "china.jpg"
    shutil.copy(photo, tmp_path)
    close(fw, impl.ImageFolder(tmp_path)[0], np.asarray(Image.open(photo)) / 255, of="the photo", atol=JPEG)


@pixels_level
def test_what_a_file_holds_decides_and_not_its_extension(impl, fw, tmp_path, rng):
    pixels, file = picture(rng), encoded(picture(rng, 16, 8), "JPEG")
    (tmp_path / "a.jpg").write_bytes(encoded(pixels, "PNG"))
    (tmp_path / "b.png").write_bytes(file)
    dataset = impl.ImageFolder(tmp_path)
    close(fw, dataset[0], pixels / 255, of="a PNG file called a.jpg")
    close(fw, dataset[1], np.asarray(Image.open(io.BytesIO(file))) / 255, of="a JPEG file called b.png", atol=JPEG)


@pixels_level
def test_indices_count_from_both_ends_and_stop_there(impl, fw, tmp_path, rng):
    pictures = write_numbered(tmp_path, rng, 3)
    dataset = impl.ImageFolder(tmp_path)
    close(fw, dataset[-1], pictures[-1], of="item −1")
    close(fw, dataset[-3], pictures[0], of="item −3")
    for index in (3, -4):
        with pytest.raises(IndexError):
            dataset[index]
    count = sum(1 for _ in dataset)
    assert count == 3, f"a loop over the dataset must end after its last item, the third; it ran {count} times"


# ---------------------------------------------------------------------- level 3


@all_rgb
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_grey_file_has_three_equal_channels(impl, fw, tmp_path, rng, kind):
    file = encoded(rng.integers(0, 256, size=(8, 16), dtype="uint8"), kind)
    (tmp_path / f"grey.{kind}").write_bytes(file)
    grey = np.asarray(Image.open(io.BytesIO(file)))
    expected = np.stack([grey, grey, grey], axis=-1) / 255
    close(fw, impl.ImageFolder(tmp_path)[0], expected, of="a grey image", atol=1e-6 if kind == "PNG" else JPEG)


@all_rgb
def test_a_grey_file_of_16_bits_is_not_cut_off(impl, fw, tmp_path, rng):
    """Scanners, microscopes and depth cameras write such files. Eight of the bits are enough."""
    grey = rng.integers(0, 65536, size=(5, 9)).astype("uint16")
    grey[0, :2] = 0, 65535
    Image.fromarray(grey).save(tmp_path / "deep.png")
    expected = np.stack([grey, grey, grey], axis=-1) / 65535
    close(fw, impl.ImageFolder(tmp_path)[0], expected, of="a grey image of 16 bits", atol=0.005)


@all_rgb
def test_a_palette_file_has_the_colours_of_its_palette(impl, fw, tmp_path, rng):
    colours, places = rng.integers(0, 256, size=(7, 3), dtype="uint8"), rng.integers(7, size=(9, 5), dtype="uint8")
    image = Image.fromarray(places).convert("P")
    image.putpalette(colours.tobytes())
    image.save(tmp_path / "palette.png")
    close(fw, impl.ImageFolder(tmp_path)[0], colours[places] / 255, of="a palette image")


@all_rgb
def test_a_black_and_white_file_has_zeros_and_ones(impl, fw, tmp_path, rng):
    white = rng.integers(0, 2, size=(5, 11)).astype(bool)
    Image.fromarray(white).save(tmp_path / "bits.png")
    close(fw, impl.ImageFolder(tmp_path)[0], np.repeat(white[..., None], 3, axis=-1), of="a black and white image")


@all_rgb
@pytest.mark.parametrize("channels", [2, 4], ids=["grey", "colour"])
def test_transparency_is_dropped(impl, fw, tmp_path, rng, channels):
    pixels = rng.integers(0, 256, size=(6, 7, channels), dtype="uint8")
    (tmp_path / "glass.png").write_bytes(encoded(pixels))
    expected = np.broadcast_to(pixels[..., :-1], (6, 7, 3)) / 255
    close(fw, impl.ImageFolder(tmp_path)[0], expected, of="an image with transparency")


# ---------------------------------------------------------------------- level 4


@transforms_demand
def test_a_transform_makes_the_item_of_the_image(impl, fw, tmp_path, rng):
    pictures = write_numbered(tmp_path, rng, 2)
    seen, items = [], [object(), {"a": 1}]

    def transform(image):
        seen.append(image)
        return items[len(seen) - 1]

    dataset = impl.ImageFolder(tmp_path, transform)
    assert not seen, "the transform must not run before an image is asked for"
    for index in range(2):
        came_back = dataset[index] is items[index]
        assert came_back, f"item {index} is not what the transform returned"
        assert len(seen) == index + 1, f"the transform must run once for an item; it ran {len(seen) - index} times"
        close(fw, seen[index], pictures[index], of="what the transform is called with")


@transforms_demand
def test_a_transform_runs_each_time_an_image_is_asked_for(impl, fw, tmp_path, rng):
    """Otherwise a random augmentation would be the same in every epoch."""
    (pixels,) = write_numbered(tmp_path, rng, 1)
    factors = iter([1.0, 0.5, 0.25])
    dataset = impl.ImageFolder(tmp_path, transform=lambda image: image * next(factors))
    for factor in (1.0, 0.5, 0.25):
        close(fw, dataset[0], pixels * factor, of=f"the item whose transform multiplies by {factor}")


@transforms_demand
def test_a_file_is_read_when_it_is_asked_for(impl, fw, tmp_path, rng):
    write_numbered(tmp_path, rng, 2)
    dataset = impl.ImageFolder(tmp_path)
    for when in ("after the dataset was made", "after its first access"):
        pictures = write_numbered(tmp_path, rng, 2)
        close(fw, dataset[0], pictures[0], of=f"item 0, whose file has changed {when}")


@transforms_demand
def test_writing_into_an_item_changes_no_other(impl, fw, tmp_path, rng):
    """As a transform in place would: only PyTorch's tensors can be written to."""
    pictures = write_numbered(tmp_path, rng, 1)
    dataset = impl.ImageFolder(tmp_path)
    item = dataset[0]
    if fw.name == "torch":
        item.zero_()
    close(fw, dataset[0], pictures[0], of="item 0 after somebody wrote into the first one")


# ---------------------------------------------------------------------- level 5


@corrupt_files_raise
@pytest.mark.parametrize("kind", CORRUPT)
def test_a_corrupt_file_raises_when_it_is_asked_for(impl, fw, tmp_path, rng, kind):
    """An error that names the file; its neighbours can still be read."""
    pictures = write_numbered(tmp_path, rng, 2)
    (tmp_path / "00b.png").write_bytes(corrupt_file(rng, kind))
    dataset = impl.ImageFolder(tmp_path)
    assert names(dataset.paths) == ["00.png", "00b.png", "01.png"], (
        "no file may be left out unless on_corrupt is 'skip'"
    )
    assert list(dataset.corrupt) == [], "`corrupt` lists the files left out, and none was"
    with pytest.raises(ValueError) as caught:
        dataset[1]
    assert "00b.png" in str(caught.value), f"the error must name the file 00b.png; it says: {str(caught.value)[:200]}"
    close(fw, dataset[0], pictures[0], of="the item before a corrupt one")
    close(fw, dataset[2], pictures[1], of="the item after a corrupt one")


@corrupt_files_raise
def test_a_file_that_has_gone_is_not_called_corrupt(impl, tmp_path, rng):
    write_numbered(tmp_path, rng, 2)
    dataset = impl.ImageFolder(tmp_path)
    (tmp_path / "01.png").unlink()
    with pytest.raises(FileNotFoundError):
        dataset[1]


@corrupt_files_raise
@pytest.mark.parametrize("error", [KeyError, OSError, SyntaxError])
def test_an_error_of_the_transform_comes_through(impl, tmp_path, rng, error):
    write_numbered(tmp_path, rng, 1)
    mine = error("the transform's own")

    def transform(image):
        raise mine

    dataset = impl.ImageFolder(tmp_path, transform)
    with pytest.raises(error) as caught:
        dataset[0]
    assert caught.value is mine, f"the transform raised {mine!r}, but {caught.value!r} arrived"


# ---------------------------------------------------------------------- level 6


@corrupt_files_skipped
def test_corrupt_files_are_left_out_and_told(impl, fw, tmp_path, rng):
    pictures = write_numbered(tmp_path, rng, 3)
    bad = [f"00{letter}.jpg" for letter in "abcdef"]
    for name, kind in zip(reversed(bad), CORRUPT, strict=True):
        (tmp_path / name).write_bytes(corrupt_file(rng, kind))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        dataset = impl.ImageFolder(tmp_path, on_corrupt="skip")
    assert names(dataset.paths) == ["00.png", "01.png", "02.png"], f"left after the skip: {names(dataset.paths)}"
    assert len(dataset) == 3, f"the length is {len(dataset)}; three files can be read"
    assert names(dataset.corrupt) == bad, f"`corrupt` must list {bad}, sorted by name, not {names(dataset.corrupt)}"
    words = " ".join(str(warning.message) for warning in told)
    untold = [name for name in bad if name not in words]
    assert not untold, f"no warning names {untold}: a file that is left out in silence will be missed by nobody"
    for index in range(3):
        close(fw, dataset[index], pictures[index], of=f"item {index}")


@corrupt_files_skipped
def test_sound_files_are_not_warned_of(impl, fw, tmp_path, rng):
    pictures, called = write_numbered(tmp_path, rng, 2), []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        dataset = impl.ImageFolder(tmp_path, called.append, on_corrupt="skip")
    other = ResourceWarning, DeprecationWarning
    words = [str(warning.message) for warning in told if not issubclass(warning.category, other)]
    words = [text for text in words if "writable" not in text]  # PyTorch's, about arrays that it is given
    assert not words, f"every file is sound, and yet a warning came: {words}"
    assert not called, "the search for corrupt files must not run the transform"
    assert len(dataset) == 2 and list(dataset.corrupt) == [], "of two sound files, both must stay"
    close(fw, impl.ImageFolder(tmp_path, on_corrupt="skip")[1], pictures[1], of="item 1")


@corrupt_files_skipped
@pytest.mark.filterwarnings("ignore")
def test_all_files_may_be_corrupt(impl, tmp_path, rng):
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(corrupt_file(rng, "text"))
    dataset = impl.ImageFolder(tmp_path, on_corrupt="skip")
    assert len(dataset) == 0 and names(dataset.corrupt) == ["a.png", "b.jpg"], "both files are corrupt"


@corrupt_files_skipped
def test_a_file_that_breaks_later_raises(impl, fw, tmp_path, rng):
    """Whoever skips has decoded every file once, and keeps none of it."""
    write_numbered(tmp_path, rng, 2)
    dataset = impl.ImageFolder(tmp_path, on_corrupt="skip")
    (tmp_path / "00.png").write_bytes(corrupt_file(rng, "short png"))
    with pytest.raises(ValueError, match=re.escape("00.png")):
        dataset[0]
    pictures = write_numbered(tmp_path, rng, 2)
    close(fw, dataset[0], pictures[0], of="item 0, whose file was written anew")


# ---------------------------------------------------------------------- level 7


@batches_workers
@pytest.mark.parametrize("number, batch_size", [(7, 3), (4, 2), (2, 5), (0, 2)])
def test_batches_hold_every_image_in_order(impl, fw, tmp_path, rng, number, batch_size):
    """In two passes, with a transform that counts: it runs once for each image of each pass."""
    pictures, called = write_numbered(tmp_path, rng, number), []

    def transform(image):
        called.append(image)
        return image * (0.5 if len(called) > number else 1.0)

    loader = impl.batches(impl.ImageFolder(tmp_path, transform), batch_size)
    starts = range(0, number, batch_size)
    for factor in (1.0, 0.5):
        found, expected = list(loader), len(starts)
        count = len(found)
        assert count == expected, f"{number} images in batches of {batch_size} are {expected} batches, not {count}"
        for start, batch in zip(starts, found, strict=True):
            close(fw, batch, factor * pictures[start : start + batch_size], of=f"the batch that begins at item {start}")
    assert len(called) == 2 * number, f"two passes over {number} images ran the transform {len(called)} times"


@batches_workers
def test_a_corrupt_file_in_a_batch_is_named(impl, tmp_path, rng):
    write_numbered(tmp_path, rng, 3)
    (tmp_path / "01.png").write_bytes(corrupt_file(rng, "short png"))
    with pytest.raises(Exception) as caught:
        list(impl.batches(impl.ImageFolder(tmp_path), 2))
    assert "01.png" in str(caught.value), f"the error must name 01.png; it says: {str(caught.value)[:200]}"


@batches_workers
def test_threads_may_ask_at_once(impl, fw, tmp_path, rng):
    """Eight threads, in step before each access, and each wants another image."""
    pictures = write_numbered(tmp_path, rng, 8, height=40, width=30)
    dataset, together = impl.ImageFolder(tmp_path), threading.Barrier(8, timeout=10)

    def read(first):
        found = []
        for turn in range(5):
            together.wait()
            found.append(((first + turn) % 8, dataset[(first + turn) % 8]))
        return found

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(read, range(8)):
            for index, item in found:
                close(fw, item, pictures[index], of=f"item {index}, asked for by one of eight threads")


@batches_workers
@pytest.mark.parametrize("transform", [operator.neg, None], ids=["transform", "plain"])
def test_a_dataset_survives_pickle(impl, fw, tmp_path, rng, transform):
    """Also after it was used: nothing that cannot be sent may stick to it."""
    pictures = write_numbered(tmp_path, rng, 2) * (1 if transform is None else -1)
    dataset = impl.ImageFolder(tmp_path, transform, on_corrupt="skip")
    close(fw, dataset[0], pictures[0], of="item 0")
    sent = pickle.loads(pickle.dumps(dataset))
    assert len(sent) == 2, f"after a journey through pickle the length is {len(sent)}, not 2"
    close(fw, sent[1], pictures[1], of="item 1 after a journey through pickle")


@pytest.fixture
def spawned():
    """Worker processes are started anew, as on macOS and Windows, and not forked."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.timeout(60)  # a process that is spawned imports PyTorch
@batches_workers
def test_workers_give_the_same_batches(impl, fw, tmp_path, rng, spawned):
    """In PyTorch the worker is a process. In TensorFlow two threads: the first image waits for the second."""
    pictures = write_numbered(tmp_path, rng, 5)
    another, met = threading.Event(), []

    def wait_for_another(image):
        if np.allclose(image, pictures[0]):
            met.append(another.wait(3))
        else:
            another.set()
        return -image

    transform, workers = (operator.neg, 1) if fw.name == "torch" else (wait_for_another, 2)
    loader = impl.batches(impl.ImageFolder(tmp_path, transform), 2, workers=workers)
    batches = iter(loader)
    found = [next(batches)]
    if fw.name == "torch":
        running = len(multiprocessing.active_children())
        assert running == workers, f"{workers} worker process was asked for; {running} are running"
    else:  # a PyDataset only notes the number: Model.fit starts the threads
        at_once = met == [True] or getattr(loader, "workers", 0) == workers
        assert at_once, f"{workers} workers were asked for, and yet each image waits for the one before it"
    found += batches
    for number, batch in enumerate(found):
        close(fw, batch, -pictures[2 * number : 2 * number + 2], of=f"batch {number}, read by workers")
    count = len(found)
    assert count == 3, f"five images in batches of two are three batches, not {count}"
