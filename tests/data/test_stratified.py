"""Stratified parts, for any data set: sizes, nothing lost or taken twice, shares within one image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdsnn.data.datasets import Dataset, Split, load_dataset, stratified
from kdsnn.errors import InputError


def numbered(labels: list[int]) -> Split:
    """Images that hold their own number."""
    images = np.arange(len(labels), dtype="<u2").view(np.uint8).reshape(-1, 1, 1, 2)
    return Split(images, np.array(labels, np.int64))


def numbers(split: Split) -> list[int]:
    return np.ascontiguousarray(split.images).reshape(-1).view("<u2").tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.data(), st.integers(0, 2**32 - 1))
def test_any_part(labels: list[int], data: st.DataObject, seed: int) -> None:
    whole, samples = numbered(labels), data.draw(st.integers(1, len(labels)))
    taken, rest = stratified(whole, samples, seed)
    assert len(taken.labels) == len(taken.images) == samples
    assert sorted(numbers(taken) + numbers(rest)) == list(range(len(labels)))
    for part in (taken, rest):
        assert [labels[n] for n in numbers(part)] == part.labels.tolist()
    exact = np.bincount(labels, minlength=6) * samples / len(labels)
    assert np.abs(np.bincount(taken.labels, minlength=6) - exact).max() < 1
    assert numbers(stratified(whole, samples, seed)[0]) == numbers(taken)


@pytest.mark.parametrize(("name", "images"), [("digits", 360), ("mnist5k", 1000)])
def test_the_test_split_has_the_shares_of_the_whole(name: str, images: int) -> None:
    dataset = load_dataset(name)
    for split in (dataset.train, dataset.test):
        assert split.images.dtype == np.uint8
        assert (split.images.min(), split.images.max()) == (0, 255)
        assert split.labels.dtype == np.int64
    test, train = np.bincount(dataset.test.labels), np.bincount(dataset.train.labels)
    assert test.sum() == images
    assert np.abs(test - (test + train) * images / (images + train.sum())).max() < 1


@pytest.mark.parametrize(("train", "test"), [((1, 4, 4), (1, 4, 5)), ((1, 4, 4), (3, 4, 4)), ((1, 0, 4), (1, 0, 4))])
def test_train_and_test_images_have_one_shape_that_is_not_empty(train: tuple[int, ...], test: tuple[int, ...]) -> None:
    splits = [Split(np.zeros((2, *shape), np.uint8), np.zeros(2, np.int64)) for shape in (train, test)]
    with pytest.raises(InputError, match="made: train images are"):
        Dataset("made", splits[0], splits[1], ("a",))
