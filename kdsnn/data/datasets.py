"""Data sets of images behind one interface. Each is a loader in a file of its own, in `kdsnn.choices.DATASETS`.

A loader takes the name that it is asked for, and the folder where files lie, and returns a `Dataset`. One of events is
an `InTime`, whose loader is told how events become frames, too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.choices import DATASETS
from kdsnn.data.encoders import DIRECT, check_still, encoded
from kdsnn.data.events.binning import Binning
from kdsnn.errors import InputError
from kdsnn.network.arrays import freeze

__all__ = [
    "DIGITS",
    "SPLIT_SEED",
    "Dataset",
    "InTime",
    "Split",
    "checksum",
    "load_dataset",
    "stratified",
    "stratified_index",
]

SPLIT_SEED = 2023  # of the data sets that come without a test split
DIGITS = tuple("0123456789")
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Images `(N, C, H, W)` or vectors `(N, F)`, uint8, and labels `(N,)` int64.

    Data in time have a frame for each time step: `(N, T, C, H, W)` or `(N, T, F)`. None can be written to: others are
    shown the same.
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

    `value_range` is what 0 and 255 stand for, where the data were other numbers once. `steps` is T of data in time, and
    None of still images; these are shown to a network as `encode` says (`kdsnn.choices.ENCODERS`).

    Raises:
        InputError: images or labels are not what they should be.
    """

    name: str
    train: Split
    test: Split
    labels: tuple[str, ...]
    value_range: tuple[float, float] | None = None
    steps: int | None = None
    encode: str = DIRECT

    def __post_init__(self) -> None:
        still = self.steps is None
        for which, split in (("train", self.train), ("test", self.test)):
            images = split.images
            if images.dtype != np.uint8 or images.ndim not in ((2, 4) if still else (3, 5)):
                what = "" if still else f", not frames at {self.steps} time steps"
                raise InputError(f"{self.name}: {which} images are {images.dtype} {images.shape}{what}")
            if not still and images.shape[1] != self.steps:
                raise InputError(f"{self.name}: {which} images have {images.shape[1]} time steps, not {self.steps}")
            if split.labels.shape != (len(split.images),) or len(split.images) == 0:
                raise InputError(f"{self.name}: {len(split.images)} {which} images have {split.labels.shape} labels")
            if split.labels.min() < 0 or split.labels.max() >= len(self.labels):
                raise InputError(f"{self.name}: a {which} label is outside the {len(self.labels)} classes")
        train, test = self.train.images.shape[1:], self.test.images.shape[1:]
        if train != test or 0 in train:
            raise InputError(f"{self.name}: train images are {train}, test images {test}")
        if not still:
            check_still(self.name, self.encode)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(C, H, W)` or `(F,)`; `(T, C, H, W)` or `(T, F)` of data in time."""
        shape: tuple[int, ...] = self.train.images.shape[1:]
        return shape

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Of what is seen at one time step: `(C, H, W)` or `(F,)`."""
        return self.image_shape if self.steps is None else self.image_shape[1:]

    def shown(self, images: npt.NDArray[np.uint8], timesteps: int) -> npt.NDArray[np.uint8]:
        """Some of its images as a network of T time steps is shown them: still, or a frame for each step."""
        return encoded(images, self.encode, timesteps)

    @cached_property
    def sha256(self) -> str:
        """Of all images, labels and classes."""
        arrays = (self.train.images, self.train.labels, self.test.images, self.test.labels, np.array(self.labels))
        return checksum(*arrays)


@dataclass(frozen=True)
class InTime:
    """What a data set of events is registered as.

    Attributes:
        load: from the name, the folder where files lie, and how events become frames, to the data set.
    """

    load: Callable[[str, Path, Binning], Dataset]


def checksum(*arrays: npt.NDArray[Any] | None) -> str:
    """The sha256 of arrays, with their types and shapes."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is not None:
            digest.update(f"{array.dtype} {array.shape};".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def load_dataset(name: str, root: Path | None = None, binning: Binning | None = None) -> Dataset:
    """The data set of that name.

    Args:
        name: one of `kdsnn.choices.DATASETS`.
        root: a folder that holds its files; else KDSNN_DATA, or `data/`, where downloads go too.
        binning: how events become frames; others do not look at it.

    Raises:
        UsageError: there is none of that name.
        InputError: its files are missing and cannot be downloaded, or are broken.
    """
    in_time = isinstance(DATASETS.get(name), InTime)  # a wrong name is no error of a cache
    place = (root or Path(os.environ.get("KDSNN_DATA") or "data")).absolute()
    return _load(name, place, (binning or Binning()) if in_time else None)


@lru_cache(maxsize=2)
def _load(name: str, root: Path, binning: Binning | None) -> Dataset:
    kind = DATASETS.get(name)
    dataset: Dataset = kind(name, root) if binning is None else kind.load(name, root, binning)
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
