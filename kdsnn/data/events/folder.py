"""A folder of recordings: a file for each, in a folder for each class, with or without a split.

    gestures/left/1.npy  gestures/right/7.npy                          split by kdsnn
    gestures/train/left/1.npy  gestures/test/left/9.npy                split by hand

The pixels of the sensor are declared (`data.sensor`), for no recording need reach the last of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.data.events.binning import Binning, to_frames
from kdsnn.data.events.recordings import RECORDINGS, read_recording
from kdsnn.data.sources.folder import IMAGES
from kdsnn.data.sources.source import Part, Source
from kdsnn.errors import InputError

__all__ = ["holds_recordings", "of_recordings"]

AT_ONCE = 64  # recordings
DEPTH = 2  # of the folders: train/left
TRIED = 20  # recordings, to tell how many pixels there may be
Size = tuple[int, int]


def holds_recordings(path: Path) -> bool:
    """Whether a folder holds recordings of events, in folders of classes: what the first known file in it is."""
    for place, folders, files in os.walk(path, followlinks=True):
        folders.sort()
        depth = len(Path(place).relative_to(path).parts)
        if depth >= DEPTH:
            folders.clear()
        kinds = (Path(name).suffix.lower() for name in sorted(files) if not name.startswith(".")) if depth else ()
        known = next((kind for kind in kinds if kind in (*RECORDINGS, *IMAGES)), None)
        if known is not None:
            return known in RECORDINGS
    return False


def of_recordings(path: Path, binning: Binning, size: Size | None) -> Part:
    """What a folder of recordings holds, as frames.

    Args:
        path: the folder.
        binning: how events become frames.
        size: height and width of the sensor.

    Raises:
        InputError: there are none, the size is not said, or what lies there is not as it should be.
    """
    folders = _folders(path)
    names = [folder.name for folder in folders]
    if set(names) == {"train", "test"}:
        train, test = (_of_classes(path / part, binning, size) for part in ("train", "test"))
        if train.classes != test.classes:
            raise InputError(f"{path}: train and test have other classes: {train.classes}, {test.classes}")
        return train, test
    return _of_classes(path, binning, size)


def _of_classes(path: Path, binning: Binning, size: Size | None) -> Source:
    folders = _folders(path)
    files = [(file, label) for label, folder in enumerate(folders) for file in _files(folder)]
    if not files:
        raise InputError(f"{path} holds no recordings", hint=f"a folder for each class with {', '.join(RECORDINGS)}")
    paths = [file for file, _ in files]
    if size is None:
        raise InputError(f"{path} does not say how many pixels its sensor has", hint=_proposal(paths))
    shape = (len(paths), binning.steps, 2, *size)
    labels = np.array([label for _, label in files], np.int64)
    classes = tuple(folder.name for folder in folders)
    read = partial(_chunks, paths, binning, size)
    return Source(str(path), shape, np.dtype(np.uint8), read, labels, classes, (0, 255), binning.steps)


def _chunks(files: Sequence[Path], binning: Binning, size: Size) -> Iterator[npt.NDArray[Any]]:
    for begin in range(0, len(files), AT_ONCE):
        part = files[begin : begin + AT_ONCE]
        yield np.stack([to_frames(*read_recording(file), size, binning, str(file)) for file in part])


def _proposal(files: Sequence[Path]) -> str:
    some = [read_recording(file) for file in files[:: -(-len(files) // TRIED)]]  # of all classes
    height, width = (max((int(e[axis].max(initial=0)) for e in some), default=0) + 1 for axis in (1, 0))
    return (
        "say it: --sensor HxW (in a recipe: data.sensor = [H, W]); some of the recordings reach to "
        f"{height}x{width}, [{height}, {width}]"
    )


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.suffix.lower() in RECORDINGS and not f.name.startswith("."))
