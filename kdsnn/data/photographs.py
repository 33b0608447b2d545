"""Patches of real photographs, for backgrounds: the two that scikit-learn carries, cut in two parts that never meet.

They are `china.jpg` and `flower.jpg` of `sklearn.datasets.load_sample_images`, 427 x 640 pixels, under CC BY 2.0; their
authors stand in its `DESCR`. Nothing of them is copied here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError
from kdsnn.extras import naming_extras
from kdsnn.network.arrays import freeze

__all__ = ["MIN_DEVIATION", "Part", "patches", "regions"]

Part = Literal["train", "test"]
Images = npt.NDArray[np.uint8]
Shape = tuple[int, int, int]

TRAIN_SHARE = 2 / 3  # of the rows of each photograph, from the top; the rest is for test images
MIN_DEVIATION = 16  # grey levels; a patch that varies less holds little texture and is left out
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma of red, green and blue


def patches(count: int, shape: Shape, part: Part, rng: np.random.Generator) -> Images:
    """Random patches `(count, C, H, W)`, uniform over all places of a part whose patch has texture enough.

    Larochelle et al. (ICML 2007) ignored patches of low variance; here the standard deviation of the grey patch is
    `MIN_DEVIATION` at least.

    Args:
        count: how many; two of them may overlap, or be the same.
        shape: of one. One channel is grey, three are red, green and blue.
        part: of the photographs. No pixel lies in both.
        rng: what chooses.

    Raises:
        InputError: there are no patches of that shape.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise InputError(f"photographs have 1 or 3 channels, and images of shape {shape} have {channels}")
    photographs, places = regions(part, channels), _places(part, height, width)
    if len(places) == 0:
        raise InputError(f"the photographs hold no patch of {height} x {width} pixels with texture enough")
    chosen = places[rng.integers(len(places), size=count)]
    windows = [np.lib.stride_tricks.sliding_window_view(p, (height, width), axis=(1, 2)) for p in photographs]
    cut = np.empty((count, *shape), np.uint8)
    for number, window in enumerate(windows):
        of_it = chosen[:, 0] == number
        cut[of_it] = window[:, chosen[of_it, 1], chosen[of_it, 2]].swapaxes(0, 1)
    return cut


@lru_cache(maxsize=4)
def regions(part: Part, channels: int = 1) -> tuple[Images, ...]:
    """The part of each photograph, `(C, H, W)`: the upper two thirds for training, the lower third for tests."""
    with naming_extras():
        from sklearn.datasets import load_sample_images

    found = []
    for photograph in load_sample_images().images:
        pixels = photograph if channels == 3 else np.round(photograph @ np.array(GREY))[..., None].astype(np.uint8)
        border = round(len(pixels) * TRAIN_SHARE)
        region = pixels[:border] if part == "train" else pixels[border:]
        found.append(np.ascontiguousarray(np.moveaxis(region, -1, 0)))
    freeze(*found)
    return tuple(found)


@lru_cache(maxsize=8)
def _places(part: Part, height: int, width: int) -> npt.NDArray[np.int64]:
    """Photograph, row and column, `(places, 3)`, of every patch with texture enough."""
    found = [np.empty((0, 3), np.int64)]
    for number, (grey,) in enumerate(regions(part)):
        if height > grey.shape[0] or width > grey.shape[1]:
            continue
        values, area = grey.astype(np.int64), height * width
        scaled_variance = area * _sums(values**2, height, width) - _sums(values, height, width) ** 2
        textured = np.argwhere(scaled_variance >= MIN_DEVIATION**2 * area**2)
        found.append(np.insert(textured, 0, number, axis=1))
    places = np.concatenate(found)
    freeze(places)
    return places


def _sums(values: npt.NDArray[np.int64], height: int, width: int) -> npt.NDArray[np.int64]:
    """The sum over every window."""
    rows: npt.NDArray[np.int64] = np.lib.stride_tricks.sliding_window_view(values, height, axis=0).sum(axis=-1)
    sums: npt.NDArray[np.int64] = np.lib.stride_tricks.sliding_window_view(rows, width, axis=1).sum(axis=-1)
    return sums
