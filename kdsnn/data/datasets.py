"""Data sets of images behind one interface. Each is a loader in a file of its own, in `kdsnn.choices.DATASETS`.

A loader takes the name that it is asked for, and the folder where files lie, and returns a `Dataset`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.choices import DATASETS
from kdsnn.errors import InputError
from kdsnn.network.arrays import freeze

__all__ = ["DIGITS", "SPLIT_SEED", "Dataset", "Split", "checksum", "load_dataset", "stratified", "stratified_index"]

SPLIT_SEED = 2023  # of the data sets that come without a test split
DIGITS = tuple("0123456789")
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Images `(N, C, H, W)` or vectors `(N, F)`, uint8, and labels `(N,)` int64.

    None can be written to: others are shown the same.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        for name in ("images", "labels"):
            shared = getattr(self, name).view()
            shared.flags.writeable = False
            object.__setattr__(self, name, shared)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: what to learn from, what to be tested on, and the names of the classes.

    `value_range` is what 0 and 255 stand for, where the data were other numbers once.

    Raises:
        InputError: images or labels are not what they should be.
    """

    name: str
    train: Split
    test: Split
    labels: tuple[str, ...]
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for which, split in (("train", self.train), ("test", self.test)):
            if split.images.dtype != np.uint8 or split.images.ndim not in (2, 4):
                raise InputError(f"{self.name}: {which} images are {split.images.dtype} {split.images.shape}")
            if split.labels.shape != (len(split.images),) or len(split.images) == 0:
                raise InputError(f"{self.name}: {len(split.images)} {which} images have {split.labels.shape} labels")
            if split.labels.min() < 0 or split.labels.max() >= len(self.labels):
                raise InputError(f"{self.name}: a {which} label is outside the {len(self.labels)} classes")
        train, test = self.train.images.shape[1:], self.test.images.shape[1:]
        if train != test or 0 in train:
            raise InputError(f"{self.name}: train images are {train}, test images {test}")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(C, H, W)`, or `(F,)`."""
        shape: tuple[int, ...] = self.train.images.shape[1:]
        return shape

    @cached_property
    def sha256(self) -> str:
        """Of all images, labels and classes."""
        arrays = (self.train.images, self.train.labels, self.test.images, self.test.labels, np.array(self.labels))
        return checksum(*arrays)


def checksum(*arrays: npt.NDArray[Any] | None) -> str:
    """The sha256 of arrays, with their types and shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is not None:
            digest.update(f"{array.dtype} {array.shape};".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def load_dataset(name: str, root: Path | None = None) -> Dataset:
    """The data set of that name.

    Args:
        name: one of `kdsnn.choices.DATASETS`.
        root: a folder that holds its files; else KDSNN_DATA, or `data/`, where downloads go too.

    Raises:
        UsageError: there is none of that name.
        InputError: its files are missing and cannot be downloaded, or are broken.
    """
    DATASETS.get(name)  # a wrong name is no error of a cache
    return _load(name, (root or Path(os.environ.get("KDSNN_DATA") or "data")).absolute())


@lru_cache(maxsize=2)
def _load(name: str, root: Path) -> Dataset:
    dataset: Dataset = DATASETS.get(name)(name, root)
    for split in (dataset.train, dataset.test):
        freeze(split.images, split.labels)  # whoever is given it next shall see the same
    return dataset


def stratified(split: Split, samples: int, seed: int) -> tuple[Split, Split]:
    """A random part of so many images, with the classes in equal shares, and the rest."""
    chosen, rest = stratified_index(split.labels, samples, seed)
    return _take(split, chosen), _take(split, rest)


def stratified_index(labels: npt.NDArray[np.int64], samples: int, seed: int) -> tuple[Index, Index]:
    """Which images `stratified` takes, and which it leaves."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    wanted = _shares(counts, samples)
    taken = [order[labels[order] == c][:n] for c, n in zip(classes, wanted, strict=True)]
    chosen = rng.permutation(np.concatenate(taken))
    return chosen, rng.permutation(np.setdiff1d(order, chosen))


def _shares(counts: npt.NDArray[np.int64], samples: int) -> npt.NDArray[np.int64]:
    """How many of each class, in proportion, that make `samples` together."""
    if not 0 < samples <= counts.sum():
        raise InputError(f"{samples} samples cannot be taken of {counts.sum()}")
    exact = counts * samples / counts.sum()
    shares: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    missing = samples - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:missing]] += 1
    return shares


def _take(split: Split, index: npt.NDArray[np.int64]) -> Split:
    return Split(split.images[index], split.labels[index])
