"""What the processes of a network count and write down, and into which files: paths of .npy files, mapped for writing.

Each process opens its own, for an open file does not pass from one process to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lanes import Lanes

__all__ = ["Count", "Files", "Listen", "Read"]


@dataclass(frozen=True)
class Listen:
    """A population: what it sends is counted, and recorded where that is asked for.

    Attributes:
        depth: in time steps after the image.
        shape: of the population in one lane.
        lanes: images side by side.
        tally: file of `(steps, 2)` int64: spikes, and neurons that reported.
        record: file of `(samples * T, *shape)` uint8, or None.
        progress: file of `(1,)` int64 for the time step, or None.
    """

    depth: int
    shape: Sequence[int]
    lanes: Lanes
    tally: str
    record: str | None
    progress: str | None


@dataclass(frozen=True)
class Count:
    """A projection: synaptic events, counted where they arrive.

    Attributes:
        depth: of its source.
        channels: of its source.
        lanes: images side by side.
        graded: whether its messages are grey levels.
        largest: message.
        recurrent: whether it feeds its source: what is sent in an image's last step never arrives.
        events: file of `(steps, 4)` int64: events of spikes, those at nonzero weights; the same of grey levels.
        listen: to its source, where no other does; else None.
    """

    depth: int
    channels: int
    lanes: Lanes
    graded: bool
    largest: int
    recurrent: bool
    events: str
    listen: Listen | None


@dataclass(frozen=True)
class Read:
    """An output that never fires: its `shape` in one lane, and the file of its potentials `(samples, *shape)` int32."""

    shape: Sequence[int]
    potentials: str


@dataclass(frozen=True)
class Files:
    """Those of a job: one for each population to listen to, one for each projection, and perhaps the potentials'."""

    listen: Sequence[Listen]
    events: Sequence[str]
    potentials: str | None
