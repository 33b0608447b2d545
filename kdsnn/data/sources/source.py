"""Images that can be read in order, a part at a time, with what is known of them before: the form of all data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kdsnn.data.encoders import DIRECT
from kdsnn.data.events.binning import STEPS, Binning
from kdsnn.data.sources.values import PIXELS, UNIT, check_kind, check_range, check_whites, image_shape, to_pixels
from kdsnn.errors import InputError

__all__ = ["Part", "Reading", "Source", "encode_of", "range_said", "read", "steps_of", "still"]

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Range = tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """What data do not say themselves.

    Attributes:
        value_range: what becomes 0 and what becomes 255; None is 0 to 255 for uint8, and 0 to 1 for floats.
        test_share: of images that come without a test split, for the test split; None is 0.2.
        binding: whether data that say otherwise themselves are refused; else they are right.
        steps: T, of data in time that do not say it, and of events, which are put together to so many frames.
        encode: how still images are shown to a network, one of `kdsnn.choices.ENCODERS`.
        bin_by: how events are put together; see `kdsnn.data.events.binning`. None is `time`.
        event_bits: likewise; None is 1.
        sensor: height and width in pixels, of recordings in files of one's own.
    """

    value_range: Range | None = None
    test_share: float | None = None
    binding: bool = True
    steps: int | None = None
    encode: str = DIRECT
    bin_by: Literal["time", "events"] | None = None
    event_bits: Literal[1, 8] | None = None
    sensor: tuple[int, int] | None = None

    @property
    def binning(self) -> Binning:
        """How events become frames."""
        return Binning(self.steps or STEPS, self.bin_by or "time", self.event_bits or 1)

    def __post_init__(self) -> None:
        if self.value_range is not None:
            check_range(self.value_range, "the range of the values")
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise InputError(f"the share of the test split must be between 0 and 1, not {self.test_share}")


@dataclass(frozen=True, eq=False)
class Source:
    """Images that can be read.

    Attributes:
        name: for messages.
        shape: of all, as they are stored: `(N, F)`, `(N, H, W)` or `(N, C, H, W)`; of data in time, see `image_shape`.
        dtype: of their values.
        chunks: reads them in order, some at a time.
        labels: `(N,)`, where they have any.
        classes: names of the classes, where they have any.
        value_range: that the data say themselves.
        steps: T of data in time, that they say themselves.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: Callable[[], Iterator[npt.NDArray[Any]]]
    labels: Labels | None = None
    classes: tuple[str, ...] | None = None
    value_range: Range | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        image_shape(self.name, self.shape, self.steps)
        check_kind(self.name, self.dtype)
        if self.labels is not None and len(self.labels) != self.shape[0]:
            raise InputError(f"{self.name}: {self.shape[0]} images have {len(self.labels)} labels")


Part = Source | tuple[Source, Source]  # all images, or those to learn from and those to be tested on


def read(source: Source, value_range: Range | None, places: Labels | None = None, steps: int | None = None) -> Images:
    """All images, each held once: `(N, F)` or `(N, C, H, W)` uint8; of data in time `(N, T, F)` or `(N, T, C, H, W)`.

    Args:
        source: to read.
        value_range: where the source says none itself.
        steps: T of data in time; see `steps_of`.
        places: where each goes, `(N,)`; None keeps the order.

    Raises:
        InputError: a file is broken, a value is outside the range, memory is too small, or pixels are 0 and 1 without
            a range.
    """
    shape = (source.shape[0], *image_shape(source.name, source.shape, steps))
    check_memory(source.name, int(np.prod(shape, dtype=np.float64)))
    images, begin = np.empty(shape, np.uint8), 0
    for chunk in source.chunks():
        there = slice(begin, begin + len(chunk))
        pixels = to_pixels(chunk, source.value_range or value_range, source.name, begin)
        images[there if places is None else places[there]] = pixels.reshape(len(chunk), *shape[1:])
        begin += len(chunk)
    if source.dtype == np.uint8 and (source.value_range or value_range) is None:
        check_whites(images, source.name)
    return images


def steps_of(source: Source, reading: Reading) -> int | None:
    """T of data in time; None of still images.

    Raises:
        InputError: the source says otherwise than the reading, or its shape does.
    """
    own = source.steps if source.steps is not None or len(source.shape) != 5 else source.shape[1]
    said = reading.steps
    if own is not None and said is not None and own != said and reading.binding:
        raise InputError(
            f"{source.name} has {own} time steps, not {said}",
            hint="leave out -T (in a recipe: data.steps), or say the same",
        )
    if own is not None or said is None or (not reading.binding and not _may_be_in_time(source.shape, said)):
        return own
    if not _may_be_in_time(source.shape, said):
        raise still(f"{source.name} has shape {source.shape}, and {said} time steps are declared")
    image_shape(source.name, source.shape, said)
    return said


def still(message: str) -> InputError:
    """The error of still images, or of those that do not say otherwise, where frames in time are asked for."""
    return InputError(
        message,
        hint="still images: leave out --in-time, or encode them: --encode (in a recipe: data.steps, data.encode); "
        "of frames (N, T, C, H, W), (N, T, H, W) or (N, T, F), the second axis is time: -T",
    )


def encode_of(steps: int | None, reading: Reading) -> str:
    """How data are shown to a network: frames in time, which nobody said must be encoded, are as they are."""
    return DIRECT if steps is not None and not reading.binding else reading.encode


def _may_be_in_time(shape: tuple[int, ...], steps: int) -> bool:
    return len(shape) in (3, 4) and shape[1] == steps


def range_said(source: Source, reading: Reading) -> Range | None:
    """What 0 and 255 stand for; None where the values were pixels all along."""
    said = source.value_range or reading.value_range
    if source.dtype == np.uint8 and said in (None, PIXELS):
        return None
    return said or UNIT


def check_memory(name: str, size: int) -> None:
    """Raises InputError where so many bytes are more than this machine has."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > there:
        raise InputError(
            f"{name} needs {size / 1e9:.1f} GB, and this machine has {there / 1e9:.1f} GB of memory",
            hint="take smaller or fewer images",
        )
