"""N-MNIST, DVS128 Gesture, SHD and CIFAR10-DVS, from the files that the user has (extra `events`).

Nothing is downloaded: `docs/events.md` says where the files come from and where they go. Each lies in a folder of
tonic's name in the folder of the data: `NMNIST/Train/7/00001.bin`, `DVSGesture/ibmGestureTrain/user01_led/0.npy`,
`SHD/shd_train.h5`, `CIFAR10DVS/frog/cifar10_frog_1.aedat4`, or `.aedat`. The first three are read by tonic.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdsnn.data.datasets import DIGITS, SPLIT_SEED, Dataset, InTime, Split, stratified
from kdsnn.data.events.binning import Binning, Frames, to_frames
from kdsnn.data.events.recordings import fields_of, read_recording
from kdsnn.data.room import room_for
from kdsnn.errors import InputError, KdsnnError
from kdsnn.extras import need

__all__ = ["PUBLISHED", "load"]

TEST_SHARE = 0.1  # of CIFAR10-DVS, which comes without a test split
AUDIO = 700  # channels of SHD's cochlea


@dataclass(frozen=True)
class Published:
    """A data set.

    Attributes:
        kind: name of tonic's class, and of its folder.
        size: height and width of the sensor; height 0 is a row of channels without polarity.
        labels: names of the classes.
        found: a file that lies there, as a pattern in the data set's folder, to learn from and to be tested on; the
            same for both where there is no split, but a folder for each class.
    """

    kind: str
    size: tuple[int, int]
    labels: tuple[str, ...]
    found: tuple[str, str]


GESTURES = (
    *("hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter-clockwise"),
    *("left arm clockwise", "left arm counter-clockwise", "arm roll", "air drums", "air guitar", "other"),
)
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NUMBERS = "zero one two three four five six seven eight nine null eins zwei drei vier fuenf sechs sieben acht neun"
ALL = {
    "n-mnist": Published("NMNIST", (34, 34), DIGITS, ("Train/*/*.bin", "Test/*/*.bin")),
    "dvs-gesture": Published("DVSGesture", (128, 128), GESTURES, ("ibmGestureTrain/*/*.npy", "ibmGestureTest/*/*.npy")),
    "shd": Published("SHD", (0, AUDIO), tuple(NUMBERS.split()), ("shd_train.h5", "shd_test.h5")),
    "cifar10-dvs": Published("CIFAR10DVS", (128, 128), OBJECTS, ("*/*.aedat*", "*/*.aedat*")),
}


def load(name: str, root: Path, binning: Binning) -> Dataset:
    """The data set of that name, as frames `(N, T, 2, H, W)`; of SHD `(N, T, 700)`.

    Raises:
        MissingExtraError: what reads its files is not installed.
        InputError: its files are not there, or broken.
    """
    published = ALL[name]
    for pattern in published.found:
        if next((root / published.kind).glob(pattern), None) is None:
            raise InputError(
                f"{name} is not there: no {root / published.kind / pattern}",
                hint="docs/events.md says where its files come from; KDSNN_DATA names the folder that they lie in",
            )
    first, second = published.found
    if first == second:
        whole = _split(name, published, root, binning, train=True)
        test, train = stratified(whole, max(1, round(TEST_SHARE * len(whole.labels))), SPLIT_SEED)
    else:
        train, test = (_split(name, published, root, binning, train=part) for part in (True, False))
    return Dataset(name, train, test, published.labels, steps=binning.steps)


@dataclass(frozen=True)
class _InFolders:
    """Recordings in a folder for each class, as tonic's data sets offer theirs."""

    data: list[str]

    def __getitem__(self, index: int) -> tuple[dict[str, Any], int]:
        file = Path(self.data[index])
        return dict(zip("xytp", read_recording(file), strict=True)), OBJECTS.index(file.parent.name)


def _split(name: str, published: Published, root: Path, binning: Binning, *, train: bool) -> Split:
    recordings = _opened(name, published, root, train=train)
    order = _order(recordings)
    height, width = published.size
    shape = (binning.steps, 2, height, width) if height else (binning.steps, width)
    images, labels = room_for((len(order), *shape)), np.empty(len(order), np.int64)
    for place, index in enumerate(order):
        title = f"{name}: {recordings.data[index] if recordings.data else f'recording {index}'}"
        try:
            events, label = recordings[index]
        except KdsnnError:
            raise
        except Exception as error:
            raise InputError(
                f"{title} cannot be read: {type(error).__name__}: {error}", hint="fetch it again"
            ) from error
        labels[place] = int(label)
        images[place] = _frames(events, published.size, binning, title)
    return Split(images, labels)


def _frames(events: Any, size: tuple[int, int], binning: Binning, name: str) -> Frames:
    height, width = size
    if height:
        return to_frames(*fields_of(events), size, binning, name)
    x, t = events["x"], events["t"]
    frames: Frames = to_frames(x, np.zeros_like(x), t, np.ones_like(x), (1, width), binning, name)[:, 1, 0]
    return frames


def _opened(name: str, published: Published, root: Path, *, train: bool) -> Any:
    """The recordings of a split, or of all: each with its label."""
    folder, pattern = root / published.kind, published.found[0]
    if pattern != published.found[1]:
        need("tonic")
        try:
            return _opened_by_tonic(published, root, train=train)
        except Exception as error:
            raise InputError(
                f"{name} cannot be read: {type(error).__name__}: {error}", hint="fetch it again"
            ) from error
    files = [file for file in folder.glob(pattern) if not file.name.startswith(".")]
    if len({file.suffix for file in files}) > 1:
        raise InputError(f"{folder} holds recordings in two formats", hint="each once: take one of the two away")
    if strangers := {file.parent.name for file in files} ^ set(published.labels):
        raise InputError(
            f"{folder} has other folders than one for each class: {', '.join(sorted(strangers))}",
            hint=f"the classes are {', '.join(published.labels)}",
        )
    return _InFolders(list(map(str, files)))


def _opened_by_tonic(published: Published, root: Path, *, train: bool) -> Any:
    """Tonic's data set of the files that are there, whatever archive they came in; it cannot download any."""
    from tonic import datasets

    kind = getattr(datasets, published.kind)

    class Present(kind):  # type: ignore[misc, valid-type]  # tonic has no types
        def _check_exists(self) -> bool:
            return True

        def download(self) -> None:
            raise InputError(f"{published.kind} would be downloaded", hint="docs/events.md")

    Present.__name__ = published.kind  # tonic's name of its folder
    return Present(save_to=str(root), train=train)


def _order(recordings: Any) -> list[int]:
    """By the names of the files, whatever order the disk has them in; SHD has one file."""
    files = list(recordings.data)
    return sorted(range(len(files)), key=lambda i: files[i]) if files else list(range(len(recordings)))


PUBLISHED = InTime(load)
