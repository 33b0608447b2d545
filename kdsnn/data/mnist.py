"""MNIST and Fashion-MNIST: files of the same names, which are known by their contents."""

from __future__ import annotations

from pathlib import Path

from kdsnn.data import files
from kdsnn.data.datasets import DIGITS, Dataset, Split

__all__ = ["load"]

CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}  # names of its classes, and of their folders
LABELS = {"mnist": DIGITS, "fashion-mnist": CLOTHES}


def load(name: str, root: Path) -> Dataset:
    """The data set of that name: from a folder, from Debian's package, or downloaded by torchvision.

    Raises:
        InputError: its files are missing and cannot be downloaded, or are broken.
    """
    places = [root / name, root / TORCHVISION[name] / "raw", root]
    if name == "fashion-mnist":
        places.append(DEBIAN_FASHION)
    if not any(_holds(place, name) for place in places):
        files.download(TORCHVISION[name], root)
    for place in places:
        if _holds(place, name):
            train, test = (Split(*files.read_idx(place, split)) for split in ("train", "t10k"))
            return Dataset(name, train, test, LABELS[name])
    raise files.missing(name, places[0])


def _holds(folder: Path, name: str) -> bool:
    """Whether a folder has the four files, and they are not known to be another data set's."""
    return files.has_idx(folder) and files.known_as(folder) in (name, None)
