"""The one resolver: what a name, a path, a function or an object stands for, as a data set or as images to show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kdsnn.choices import DATASETS
from kdsnn.data.datasets import Dataset, load_dataset
from kdsnn.data.sources.arrays import of_npy, of_npz
from kdsnn.data.sources.folder import of_folder, stamp_of
from kdsnn.data.sources.objects import of_object
from kdsnn.data.sources.reference import ARRAYS, absolute, is_function, problem_of, title_of
from kdsnn.data.sources.source import Images, Labels, Part, Reading, Source, read
from kdsnn.data.sources.splits import dataset_of
from kdsnn.errors import InputError, UsageError
from kdsnn.own_code.functions import load_own

__all__ = ["Shown", "load_data", "load_images"]

PLAIN = Reading()


@dataclass(frozen=True, eq=False)
class Shown:
    """Images to show to a network.

    Attributes:
        name: of the data.
        images: `(N, F)` or `(N, C, H, W)` uint8.
        labels: `(N,)`, where there are any.
        classes: names of the classes, where they have any.
    """

    name: str
    images: Images
    labels: Labels | None
    classes: tuple[str, ...] | None


def load_data(data: object, reading: Reading = PLAIN) -> Dataset:
    """A data set, with images to learn from and images to be tested on.

    Args:
        data: a text (see `kdsnn.data.sources.reference`), a path, or an object (see `kdsnn.data.sources.objects`).
        reading: what the data do not say themselves.

    Raises:
        UsageError: there is no data set, module or function of that name.
        InputError: the data are missing, broken, or not what is needed.
    """
    if not isinstance(data, str | Path):
        return _dataset(of_object(data, _title(data)), _title(data), reading)
    text = _checked(data)
    if text in DATASETS:
        if reading != PLAIN:
            raise InputError(
                f"data set {text!r} says its range and its test split itself", hint="leave out what was said"
            )
        return load_dataset(text)
    return _load(text, _stamp(text), reading)


def load_images(data: object, reading: Reading = PLAIN) -> Shown:
    """Images to show: all, in their order, or the test split where there is one. They need no labels.

    Raises:
        UsageError, InputError: see `load_data`.
    """
    text = _checked(data) if isinstance(data, str | Path) else None
    if text in DATASETS:
        dataset = load_dataset(str(text))
        return Shown(str(text), dataset.test.images, dataset.test.labels, dataset.labels)
    part, name = (of_object(data, _title(data)), _title(data)) if text is None else _opened(text)
    if isinstance(part, Dataset):
        return Shown(name, part.test.images, part.test.labels, part.labels)
    source = part if isinstance(part, Source) else part[1]
    return Shown(name, read(source, reading.value_range), source.labels, source.classes)


@lru_cache(maxsize=2)
def _load(text: str, _stamp: str, reading: Reading) -> Dataset:
    part, name = _opened(text)
    return _dataset(part, name, reading)


def _dataset(part: Part | Dataset, name: str, reading: Reading) -> Dataset:
    if not isinstance(part, Dataset):
        return dataset_of(part, name, reading)
    if reading != PLAIN:
        raise InputError(f"{name} says its range and its test split itself", hint="leave out what was said")
    return part


def _checked(data: str | Path) -> str:
    text = str(data.absolute()) if isinstance(data, Path) else absolute(data, Path.cwd())
    if problem := problem_of(text):
        raise UsageError(problem)
    return text


def _opened(text: str) -> tuple[Part | Dataset, str]:
    """What a path or a function stands for, and its name."""
    if is_function(text):
        own = load_own(text)
        return of_object(own.call() if callable(own.value) else own.value, own.title), own.title
    path, name = Path(text), title_of(text)
    if path.is_dir():
        return of_folder(path), name
    if not path.is_file():
        raise InputError(f"there is no file or folder {text}")
    if path.suffix not in ARRAYS:
        raise InputError(f"{text} is no data", hint=f"what can be read: a folder of images, {', '.join(ARRAYS)}")
    return (of_npz if path.suffix == ".npz" else of_npy)(path), name


def _stamp(text: str) -> str:
    """Changes whenever the data do, as far as can be told without reading them."""
    if is_function(text):
        return load_own(text).sha256
    path = Path(text)
    beside = path.with_name(f"{path.stem}_labels.npy")
    return "".join(stamp_of(p) for p in (path, beside) if p.exists())


def _title(data: object) -> str:
    return data.name if isinstance(data, Dataset) else type(data).__name__
