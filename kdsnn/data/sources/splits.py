"""From images to a data set: a split that is given, or one by a seed with the classes in equal shares."""

from __future__ import annotations

import numpy as np

from kdsnn.data.datasets import SPLIT_SEED, Dataset, Split, stratified_index
from kdsnn.data.sources.source import Labels, Part, Range, Reading, Source, encode_of, range_said, read, steps_of
from kdsnn.errors import InputError

__all__ = ["as_given", "dataset_of"]

TEST_SHARE = 0.2


def dataset_of(part: Part, name: str, reading: Reading) -> Dataset:
    """The data set; the images to learn from are shuffled by a seed, so that the first of them are of all classes.

    Raises:
        InputError: images have no labels, classes are missing, or the reading contradicts what the data say themselves.
    """
    if isinstance(part, Source):
        return _divided(part, name, reading)
    if reading.test_share is not None and reading.binding:
        raise InputError(f"{name} has a test split of its own", hint="leave out data.test_share")
    train, test = part
    labels = _labels(train), _labels(test)
    classes = _classes(name, train.classes or test.classes, *labels)
    order, steps = _shuffled(len(labels[0])), steps_of(train, reading)
    if steps != steps_of(test, reading):
        raise InputError(f"{name}: one split is in time, or has other time steps: {train.shape}, {test.shape}")
    learnt = Split(read(train, _range(train, reading), _places(order), steps), labels[0][order])
    tested = Split(read(test, _range(test, reading), steps=steps), labels[1])
    if np.array_equal(labels[0], labels[1]) and _same(learnt, tested, order):
        raise InputError(f"{name}: the test images are the training images")
    return Dataset(name, learnt, tested, classes, range_said(train, reading), steps, encode_of(steps, reading))


def as_given(split: Split) -> Split:
    """Training images in the order in which they must be given to become these again."""
    places = _places(_shuffled(len(split.labels)))
    return Split(split.images[places], split.labels[places])


def _shuffled(count: int) -> Labels:
    return np.random.default_rng(SPLIT_SEED).permutation(count)


def _divided(source: Source, name: str, reading: Reading) -> Dataset:
    """Both splits, as parts of one array: the test images come first in it."""
    labels = _labels(source)
    classes = _classes(name, source.classes, labels, labels)
    samples = round((reading.test_share or TEST_SHARE) * len(labels))
    samples = min(max(samples, 1), len(labels) - 1)
    test, train = stratified_index(labels, samples, SPLIT_SEED)
    rare = np.setdiff1d(labels, labels[train])
    if len(rare):
        count = int((labels == rare[0]).sum())
        raise InputError(f"{name}: class {classes[int(rare[0])]!r} has too few images to be divided: {count}")
    order = np.concatenate([test, train])
    steps, ordered = steps_of(source, reading), labels[order]
    images = read(source, _range(source, reading), _places(order), steps)
    learnt, tested = Split(images[samples:], ordered[samples:]), Split(images[:samples], ordered[:samples])
    return Dataset(name, learnt, tested, classes, range_said(source, reading), steps, encode_of(steps, reading))


def _labels(source: Source) -> Labels:
    if source.labels is None:
        raise InputError(
            f"{source.name} has no labels",
            hint="a folder needs one for each class, an .npz an array 'y', NAME.npy a file NAME_labels.npy beside it",
        )
    return source.labels


def _classes(name: str, said: tuple[str, ...] | None, train: Labels, test: Labels) -> tuple[str, ...]:
    """Names of the classes, which are numbers where they have none."""
    lowest, highest = int(min(train.min(), test.min())), int(max(train.max(), test.max()))
    if said is not None and len(set(said)) < len(said):
        raise InputError(f"{name}: two classes have the same name")
    count = highest + 1 if said is None else len(said)
    if lowest < 0 or highest >= count:
        raise InputError(f"{name}: labels reach from {lowest} to {highest}; classes from 0 to {count - 1}")
    if count < 2:
        raise InputError(f"{name} has one class", hint="a network needs two at least to tell apart")
    known = set(np.unique(train).tolist())
    if len(known) < count:
        missing = next(label for label in range(count) if label not in known)
        raise InputError(
            f"{name}: no training image is of class {missing if said is None else repr(said[missing])}",
            hint="number the classes 0, 1, 2, ... without gaps",
        )
    return tuple(map(str, range(count))) if said is None else said


def _range(source: Source, reading: Reading) -> Range | None:
    own, said = source.value_range, reading.value_range
    if reading.binding and own is not None and said is not None and tuple(own) != tuple(said):
        raise InputError(
            f"{source.name} has values from {own[0]:g} to {own[1]:g}, not from {said[0]:g} to {said[1]:g} as was said",
            hint="leave out --data-range (in a recipe: data.range)",
        )
    return said


def _places(order: Labels) -> Labels:
    """Where each image goes, of which image comes where."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def _same(train: Split, test: Split, order: Labels) -> bool:
    """Whether the test images are the training images in the order that these had."""
    if train.images.shape != test.images.shape:
        return False
    return all(np.array_equal(train.images[place], test.images[number]) for place, number in enumerate(order))
