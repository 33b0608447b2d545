"""The one resolver: what a name, a path, a function or an object stands for, as a data set or as images to show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from kdsnn.choices import DATASETS
from kdsnn.data.datasets import Dataset, InTime, load_dataset
from kdsnn.data.encoders import DIRECT, check_still, encoded
from kdsnn.data.events.folder import holds_recordings, of_recordings
from kdsnn.data.sources.arrays import of_npy, of_npz
from kdsnn.data.sources.folder import of_folder, stamp_of
from kdsnn.data.sources.objects import of_object
from kdsnn.data.sources.reference import ARRAYS, absolute, is_function, nearest_path, problem_of, title_of
from kdsnn.data.sources.source import (
    Images,
    Labels,
    Part,
    Range,
    Reading,
    Source,
    encode_of,
    range_said,
    read,
    steps_of,
    still,
)
from kdsnn.data.sources.splits import dataset_of
from kdsnn.errors import InputError, UsageError
from kdsnn.own_code.functions import load_own

__all__ = ["ImageSet", "is_events", "load_calibration", "load_data", "load_images"]

PLAIN = Reading()


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images without a split, to show to a network.

    Attributes:
        name: of the data.
        images: `(N, F)` or `(N, C, H, W)` uint8; of data in time `(N, T, F)` or `(N, T, C, H, W)`.
        labels: `(N,)`, where there are any.
        classes: names of the classes, where they have any.
        value_range: what 0 and 255 stand for, where they were other numbers once.
        steps: T of data in time; None of still images.
        encode: how still images are shown to a network.
    """

    name: str
    images: Images
    labels: Labels | None
    classes: tuple[str, ...] | None
    value_range: Range | None = None
    steps: int | None = None
    encode: str = DIRECT

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(C, H, W)` or `(F,)`; `(T, C, H, W)` or `(T, F)` of data in time."""
        shape: tuple[int, ...] = self.images.shape[1:]
        return shape

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Of what is seen at one time step: `(C, H, W)` or `(F,)`."""
        return self.image_shape if self.steps is None else self.image_shape[1:]

    def shown(self, images: Images, timesteps: int) -> Images:
        """Some of its images as a network of T time steps is shown them: still, or a frame for each step."""
        return encoded(images, self.encode, timesteps)


def load_data(data: object, reading: Reading = PLAIN) -> Dataset:
    """A data set, with images to learn from and images to be tested on.

    Args:
        data: a text (see `kdsnn.data.sources.reference`), a path, or an object (see `kdsnn.data.sources.objects`).
        reading: what the data do not say themselves.

    Raises:
        UsageError: there is no data set of that name.
        InputError: the data are missing, broken, or not what is needed.
    """
    _check_events(data, str(data)[:100] if isinstance(data, str | Path) else type(data).__name__, reading)
    if isinstance(data, str | Path) and (text := _checked(data)) not in DATASETS:
        return _load(text, _stamp(text), reading)
    return _dataset(*_opened(data, reading), reading)


def load_images(data: object, reading: Reading = PLAIN) -> ImageSet:
    """Images to show: all, in their order, or the test split where there is one. They need no labels.

    Raises:
        UsageError, InputError: see `load_data`.
    """
    part, name = _opened(data, reading)
    _check_events(data, name, reading)
    if isinstance(part, Dataset):
        known = _read_as(part, name, reading)
        return ImageSet(
            name, known.test.images, known.test.labels, known.labels, known.value_range, known.steps, known.encode
        )
    return _shown(part if isinstance(part, Source) else part[1], name, reading)


def load_calibration(data: object, reading: Reading = PLAIN) -> Dataset | ImageSet:
    """What to choose scales by: a data set, or images alone where they have no labels.

    Raises:
        UsageError, InputError: see `load_data`.
    """
    part, name = _opened(data, reading)
    _check_events(data, name, reading)
    if isinstance(part, Source) and part.labels is None:
        return _shown(part, name, reading)
    return _dataset(part, name, reading)


@lru_cache(maxsize=2)
def _load(text: str, _stamp: str, reading: Reading) -> Dataset:
    return _dataset(*_opened(text, reading), reading)


def _shown(source: Source, name: str, reading: Reading) -> ImageSet:
    steps = steps_of(source, reading)
    encode, images = encode_of(steps, reading), read(source, reading.value_range, steps=steps)
    said = range_said(source, reading)
    if steps is not None:
        check_still(name, encode)
    return ImageSet(name, images, source.labels, source.classes, said, steps, encode)


def _dataset(part: Part | Dataset, name: str, reading: Reading) -> Dataset:
    if not isinstance(part, Dataset):
        return dataset_of(part, name, reading)
    if (reading.value_range, reading.test_share) != (None, None) and reading.binding:
        raise InputError(
            f"data set {name!r} has its range and its test split itself",
            hint="leave out --data-range (in a recipe: data.range, data.test_share)",
        )
    return _read_as(part, name, reading)


def _read_as(dataset: Dataset, name: str, reading: Reading) -> Dataset:
    """A data set that has its splits, shown as the reading says."""
    if reading.steps not in (None, dataset.steps) and reading.binding:
        if dataset.steps is None:
            raise still(f"{name} has no time steps, and {reading.steps} are declared")
        raise InputError(
            f"{name} has {dataset.steps} time steps, not {reading.steps}",
            hint="leave out -T (in a recipe: data.steps), or say the same",
        )
    encode = encode_of(dataset.steps, reading)
    return dataset if (dataset.name, dataset.encode) == (name, encode) else replace(dataset, name=name, encode=encode)


def is_events(data: object) -> bool:
    """Whether data are events, which become as many frames as are asked for: of a name, or recordings in a folder."""
    if not isinstance(data, str | Path):
        return False
    if str(data) in DATASETS:
        return isinstance(DATASETS.get(str(data)), InTime)
    try:
        return not is_function(str(data)) and Path(data).is_dir() and holds_recordings(Path(data))
    except OSError:  # a name that is too long, say; whoever reads it says so
        return False


def _check_events(data: object, name: str, reading: Reading) -> None:
    """Raises InputError where it is said how events become frames, and the data are frames."""
    said = (reading.bin_by, reading.event_bits, reading.sensor) != (None, None, None)
    if said and reading.binding and not is_events(data):
        raise InputError(
            f"{name} holds no events",
            hint="leave out --sensor (in a recipe: data.sensor, data.bin_by, data.event_bits)",
        )


def _checked(data: str | Path) -> str:
    text = str(data.absolute()) if isinstance(data, Path) else absolute(data, Path.cwd())
    if problem := problem_of(text):
        raise UsageError(problem)
    return text


def _opened(data: object, reading: Reading) -> tuple[Part | Dataset, str]:
    """What a text or an object stands for, and its name."""
    if not isinstance(data, str | Path):
        name = data.name if isinstance(data, Dataset) else type(data).__name__
        return of_object(data, name), name
    text = _checked(data)
    if text in DATASETS:
        return load_dataset(text, binning=reading.binning), text
    if is_function(text):
        own = load_own(text)
        return of_object(own.call() if callable(own.value) else own.value, own.title), own.title
    path, name = Path(text), title_of(text)
    if path.is_dir():
        recordings = holds_recordings(path)
        return (of_recordings(path, reading.binning, reading.sensor) if recordings else of_folder(path)), name
    if not path.is_file():
        near = nearest_path(path)
        raise InputError(f"there is no file or folder {text}", hint="" if near is None else f"did you mean {near}?")
    if path.suffix not in ARRAYS:
        function = f", or a function: {name}:FUNCTION" if path.suffix == ".py" else ""
        kinds = f"a folder of images, {', '.join(ARRAYS)}{function}"
        raise InputError(f"{text} is no data", hint=f"what can be read: {kinds}")
    return (of_npz if path.suffix == ".npz" else of_npy)(path), name


def _stamp(text: str) -> str:
    """Changes whenever the data do, as far as can be told without reading them."""
    if is_function(text):
        return load_own(text).sha256
    path = Path(text)
    beside = path.with_name(f"{path.stem}_labels.npy")
    return "".join(stamp_of(p) for p in (path, beside) if p.exists())
