"""The data sets that tests of the katas use."""

import numpy as np
import pytest

from dojo.testing import data


def test_digits_are_the_1797_of_scikit_learn_scaled_to_one():
    from sklearn.datasets import load_digits

    images, labels = data.digits()
    raw = load_digits()
    assert images.shape == (1797, 64) and images.dtype == "float64"
    assert np.array_equal(images * 16, raw.data) and np.array_equal(labels, raw.target)
    assert (images.min(), images.max()) == (0, 1)


def test_the_two_splits_are_the_whole_and_share_nothing():
    whole = sorted(map(bytes, data.digits()[0]))
    train, test = (data.digits(split) for split in ("train", "test"))
    assert sorted(map(bytes, [*train[0], *test[0]])) == whole
    assert (len(train[1]), len(test[1])) == (1437, 360)
    assert np.array_equal(train[0], data.digits("train")[0])


def test_both_splits_hold_every_digit():
    for split in ("train", "test"):
        assert set(data.digits(split)[1]) == set(range(10))


def test_each_caller_gets_arrays_of_its_own():
    data.digits()[0][:] = 7
    assert data.digits()[0].max() == 1


def test_another_split_is_refused():
    with pytest.raises(ValueError, match="'train', 'test' or None, not 'valid'"):
        data.digits("valid")


def test_the_text_is_english_of_some_length():
    text = data.english_text()
    assert len(text) > 300_000
    assert set(text) <= set(" abcdefghijklmnopqrstuvwxyz")
    assert text.count(" the ") > len(text) / 200  # English: about one word in twenty
    assert "  " not in text
    assert len(data.english_text(letters_only=False)) > len(text)


def test_the_photograph_has_three_colours():
    image = data.photograph()
    assert image.shape == (427, 640, 3)
    assert 0 <= image.min() < image.max() <= 1
