"""MNIST and Fashion-MNIST: files of the same names, which are known by their contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kdsnn.data import files
from kdsnn.data.datasets import DIGITS, Dataset, Split
from kdsnn.errors import InputError

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
    strangers = _strangers(name, places)
    folder = _holder(places, strangers)
    if folder is None:
        try:
            files.download(TORCHVISION[name], root)
        except InputError as error:
            raise InputError(error.message, hint=error.hint, problems=list(strangers.values())) from error
        strangers = _strangers(name, places)
        folder = _holder(places, strangers)
    if folder is None:
        raise files.missing(name, places[0], "; ".join(strangers.values()) or "its files are not there")
    train, test = (Split(*files.read_idx(folder, split, name)) for split in ("train", "t10k"))
    return Dataset(name, train, test, LABELS[name])


def _strangers(name: str, places: Sequence[Path]) -> dict[Path, str]:
    """The places that hold files of another data set, and what to say of each."""
    others = {place: files.known_as(place, name) - {name} for place in places if files.has_idx(place)}
    return {place: f"{place} holds files of {', '.join(sorted(known))}" for place, known in others.items() if known}


def _holder(places: Sequence[Path], strangers: Mapping[Path, str]) -> Path | None:
    return next((place for place in places if files.has_idx(place) and place not in strangers), None)
