"""Events, put together to frames `(T, 2, H, W)` uint8: in the first what became darker, in the second what brighter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kdsnn.data.encoders import SPIKE
from kdsnn.errors import InputError

__all__ = ["STEPS", "Binning", "Frames", "bins_of", "from_counts", "to_frames"]

STEPS = 10  # time steps where nothing is said
LATEST = 2**50  # 35 years in microseconds; times the number of steps it stays below 2**63
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Binning:
    """How events become frames.

    Attributes:
        steps: T.
        by: `time` makes all steps equally long, `events` has equally many events in each, but for one.
        bits: 1 is 255 where there was any event, which an input of one bit sends as a spike; 8 is how many there were,
            255 at most.
    """

    steps: int = STEPS
    by: Literal["time", "events"] = "time"
    bits: Literal[1, 8] = 1


def to_frames(
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    t: npt.NDArray[Any],
    p: npt.NDArray[Any],
    size: tuple[int, int],
    binning: Binning,
    name: str = "the events",
) -> Frames:
    """The frames `(T, 2, H, W)` of one recording; of none at all they are empty.

    Args:
        x: columns of the events, `(events,)` whole numbers from 0.
        y: their rows.
        t: their times, in any unit, in any order.
        p: 1, or true, where the pixel became brighter; else 0 or -1.
        size: height and width.
        binning: how.
        name: for messages.

    Raises:
        InputError: an event lies outside, or its polarity or time is none.
    """
    height, width = size
    rows, columns, polarity = (np.asarray(a).astype(np.int64) for a in (y, x, p))
    if not len(rows) == len(columns) == len(polarity) == len(t):
        raise InputError(f"{name}: x, y, t and p have {len(columns)}, {len(rows)}, {len(t)} and {len(polarity)} values")
    if len(rows) == 0:
        return np.zeros((binning.steps, 2, height, width), np.uint8)
    out = [
        f"{axis} is {int(outside[0])}"
        for axis, values, end in (("x", columns, width), ("y", rows, height))
        if len(outside := values[(values < 0) | (values >= end)])
    ]
    if out:
        raise InputError(
            f"{name}: an event lies outside the {height} x {width} pixels: {', '.join(out)}",
            hint=f"x counts the columns, 0 to {width - 1}, and y the rows, 0 to {height - 1}: say the size of the "
            "sensor, or leave such events out",
        )
    if not set(np.unique(polarity).tolist()) <= {-1, 0, 1}:
        raise InputError(f"{name}: a polarity is neither 0 nor 1 (nor -1): {np.unique(polarity)[:5].tolist()}")
    times = np.asarray(t)
    if not np.isfinite(times).all() or max(-float(times.min()), float(times.max())) > LATEST:
        raise InputError(f"{name}: the time of an event is no number from {-LATEST} to {LATEST}")
    place = np.ravel_multi_index(
        (bins_of(times, binning), (polarity > 0).astype(np.int64), rows, columns), (binning.steps, 2, height, width)
    )
    counts = np.bincount(place, minlength=binning.steps * 2 * height * width)
    return from_counts(counts.reshape(binning.steps, 2, height, width), binning)


def bins_of(times: npt.NDArray[Any], binning: Binning) -> npt.NDArray[np.int64]:
    """The time step of each event, from 0; the last event is in the last step."""
    if binning.by == "events":
        rank = np.empty(len(times), np.int64)
        rank[np.argsort(times, kind="stable")] = np.arange(len(times))
        rank *= binning.steps
        rank //= len(times)
        return rank
    since = times.astype(np.int64 if times.dtype.kind in "bui" else np.float64)
    since = since - since.min()
    span = since.max()
    if span == 0:
        return np.zeros(len(times), np.int64)
    made: npt.NDArray[np.int64] = np.minimum((since * binning.steps // span).astype(np.int64), binning.steps - 1)
    return made


def from_counts(counts: npt.NDArray[Any], binning: Binning) -> Frames:
    """Frames of how many events there were, saturating."""
    if binning.bits == 1:
        return np.where(counts > 0, SPIKE, np.uint8(0))
    counted: Frames = np.minimum(counts, 255).astype(np.uint8)
    return counted
