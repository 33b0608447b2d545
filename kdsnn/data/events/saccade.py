"""Synthetic events: still images moved before a simulated sensor, as N-MNIST was recorded, in whole-number arithmetic.

A sensor of 34 x 34 pixels looks at an image that makes three saccades, along the sides of a triangle (Orchard et al.
2015: "Converting static image datasets to spiking neuromorphic datasets using saccades").
A pixel sends an event whenever its brightness is `THRESHOLD` or more above, or below, that at its last event; several,
where it changed by several. There is no noise. The path is one of `PATHS`, chosen by the pixels of the image: so an
image makes the same events on every machine, and in whatever data set it is.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kdsnn.data.datasets import Dataset, InTime, Split, load_dataset
from kdsnn.data.events.binning import Binning, Frames, from_counts
from kdsnn.data.room import room_for

__all__ = ["SACCADE", "SIZE", "load", "paths", "recorded"]

BASES = {"saccade-mnist5k": "mnist5k", "saccade-fashion": "fashion-mnist"}
SIZE = 34  # pixels of a side of the sensor: of N-MNIST, 3 more on each side than the images have
MARGIN = 3
PART = 16  # of a pixel: positions are multiples of 1/16
MOMENTS = 36  # at which the sensor looks; 12 a saccade
CORNERS = np.array([(0, 0), (40, -24), (0, -48)])  # rows and columns of the triangle, in 1/16 of a pixel
JITTER = 8  # 1/16 of a pixel, of each corner
PATHS, SEED = 64, 2015
THRESHOLD = 50 * PART**2  # of 255 PART**2, which is white
CHUNK = 256  # images at once
Images = npt.NDArray[np.uint8]
Way = npt.NDArray[np.int64]
Brightness = npt.NDArray[np.int32]  # 255 PART**2 is white


def load(name: str, root: Path, binning: Binning) -> Dataset:
    """The synthetic data set of that name."""
    still = load_dataset(BASES[name], root)
    train, test = (Split(recorded(s.images, binning), s.labels) for s in (still.train, still.test))
    return Dataset(name, train, test, still.labels, steps=binning.steps)


def paths() -> npt.NDArray[np.int64]:
    """All paths, `(PATHS, MOMENTS + 1, 2)`: how far an image has moved down and to the right, in 1/16 of a pixel."""
    draws = np.random.Philox(key=SEED).random_raw(PATHS * CORNERS.size).reshape(PATHS, *CORNERS.shape)
    corners = CORNERS + (draws % np.uint64(2 * JITTER + 1)).astype(np.int64) - JITTER
    corners -= corners[:, :1]
    sides = np.concatenate([corners, corners[:, :1]], axis=1)
    a_side = MOMENTS // len(CORNERS)
    number, step = np.divmod(np.arange(MOMENTS), a_side)
    begin, end = sides[:, number], sides[:, number + 1]
    way = begin + (end - begin) * step[:, None] // a_side
    return np.concatenate([way, sides[:, -1:]], axis=1)


def recorded(images: Images, binning: Binning) -> Frames:
    """What the sensor sees of still images `(N, 1, H, W)`, at most 28 x 28, as frames `(N, T, 2, 34, 34)`."""
    way, number = paths(), np.array([_path_of(image) for image in images], np.int64)
    made = room_for((len(images), binning.steps, 2, SIZE, SIZE))
    for path in np.unique(number):
        chosen = np.flatnonzero(number == path)
        for begin in range(0, len(chosen), CHUNK):
            index = chosen[begin : begin + CHUNK]
            made[index] = _seen(images[index, 0].astype(np.int32), way[path], binning)
    return made


def _path_of(image: Images) -> int:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()[0] % PATHS


def _seen(images: Brightness, way: Way, binning: Binning) -> Frames:
    """Frames `(N, T, 2, H, W)` of images `(N, H, W)` that go one way."""
    events = np.zeros((len(images), MOMENTS, 2, SIZE, SIZE), np.uint8)
    last = _moved(images, way[0])
    for moment in range(MOMENTS):
        change = _moved(images, way[moment + 1]) - last
        count = np.sign(change) * (np.abs(change) // THRESHOLD)
        last += count * THRESHOLD
        events[:, moment, 1], events[:, moment, 0] = np.maximum(count, 0), np.maximum(-count, 0)
    steps = _steps(events, binning)
    frames = np.zeros((len(images), binning.steps, 2, SIZE, SIZE), np.uint16)
    number = np.arange(len(images))
    for moment in range(MOMENTS):
        frames[number, steps[:, moment]] += events[:, moment]
    return from_counts(frames, binning)


def _steps(events: Images, binning: Binning) -> npt.NDArray[np.int64]:
    """The time step of each moment, `(N, MOMENTS)`."""
    if binning.by == "time":
        steps = np.arange(MOMENTS) * binning.steps // MOMENTS
        return np.broadcast_to(steps, (len(events), MOMENTS))
    each = events.sum(axis=(2, 3, 4), dtype=np.int64)
    before = np.cumsum(each, axis=1) - each
    made: npt.NDArray[np.int64] = before * binning.steps // np.maximum(each.sum(axis=1, keepdims=True), 1)
    return np.minimum(made, binning.steps - 1)


def _moved(images: Brightness, by: Way) -> Brightness:
    """Images `(N, H, W)` on the sensor, moved by 1/16 pixels; between pixels bilinear, times PART squared."""
    (down, right), (row, column) = np.divmod(by, PART)
    seen = np.zeros((len(images), SIZE, SIZE), np.int32)
    for rows, one in ((down, PART - row), (down + 1, row)):
        for columns, other in ((right, PART - column), (right + 1, column)):
            if one * other:
                _add(seen, images, MARGIN + rows, MARGIN + columns, int(one * other))
    return seen


def _add(seen: Brightness, images: Brightness, row: int, column: int, weight: int) -> None:
    """Adds images at a place of the sensor; what lies outside is not seen."""
    height, width = images.shape[1:]
    top, left = max(0, -row), max(0, -column)
    bottom, end = min(height, SIZE - row), min(width, SIZE - column)
    seen[:, row + top : row + bottom, column + left : column + end] += weight * images[:, top:bottom, left:end]


SACCADE = InTime(load)
