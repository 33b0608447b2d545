"""Output axons: for each population, the cores that its neurons send to, as the populations after it are placed.

A neuron needs an output axon for each core that it sends to. Where a convolution shares its axons, the neurons at one
position of a core share one for each core that any of them sends to; it takes more slots.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdsnn.network import Shape
from kdsnn.targets.placement.footprint import Footprint, Tile, layout

__all__ = ["Destinations", "OutputAxons"]

Int64Array = npt.NDArray[np.int64]


class Destinations:
    """The cores that each neuron of a population sends to, so far.

    A core hears a run of channels, so that a tile sends to it unless its channels all lie before or after: runs that
    begin before the tile ends, less those that end before it begins.
    """

    def __init__(self, shape: Shape) -> None:
        channels, positions = layout(shape)
        self.alone = np.zeros((channels, positions), dtype=np.int64)  # axons of a neuron of its own
        self.begin = np.zeros((channels + 1, positions), dtype=np.int64)  # shared ones, at the first channel heard
        self.end = np.zeros((channels + 1, positions), dtype=np.int64)  # and at the one after the last

    def copy(self) -> Destinations:
        """The same, to add others to."""
        return deepcopy(self)

    def add(self, footprint: Footprint, tile: Tile) -> None:
        """Adds a core that holds this tile of a population after it, or of itself."""
        if not footprint.convolution:  # hears all neurons
            self.alone += 1
            return
        positions, (first, end) = footprint.sources(tile), footprint.source_channels(tile)
        if footprint.shared:
            self.begin[first, positions] += footprint.format.shared_axon_slots
            self.end[end, positions] += footprint.format.shared_axon_slots
        else:
            self.alone[first:end, positions] += 1

    def axons(self) -> OutputAxons:
        """What tiles of the population need, once all after it are placed."""
        before = np.cumsum(self.begin, axis=0)[:-1]  # runs that begin at or before each channel
        over = np.cumsum(self.end, axis=0)[:-1]  # runs that end at or before it
        return OutputAxons(_sums(self.alone), _sums(before, channels=False), _sums(over, channels=False))


@dataclass(frozen=True, eq=False)
class OutputAxons:
    """Output axons of tiles, from sums over rectangles and runs."""

    alone: Int64Array  # (channels + 1, positions + 1): axons of the neurons before
    begun: Int64Array  # (channels, positions + 1): shared ones begun at or before a channel, at positions before
    ended: Int64Array  # the same, ended

    def __call__(self, tile: Tile) -> int:
        """Output axons of a tile."""
        channels, positions = (
            slice(tile.first_channel, tile.end_channel + 1, tile.channels),
            slice(tile.first_position, tile.end_position + 1, tile.end_position - tile.first_position),
        )
        (a, b), (c, d) = self.alone[channels, positions]
        begun, ended = self.begun[tile.end_channel - 1, positions], self.ended[tile.first_channel, positions]
        return int(a - b - c + d + (begun[1] - begun[0]) - (ended[1] - ended[0]))

    def worst(self) -> int:
        """The most that a single neuron needs."""
        alone = np.diff(np.diff(self.alone, axis=0), axis=1)
        return int((alone + np.diff(self.begun, axis=1) - np.diff(self.ended, axis=1)).max())


def _sums(counts: Int64Array, *, channels: bool = True) -> Int64Array:
    """Running sums with a zero in front, over positions, and over channels where asked."""
    total = np.pad(counts, ((1, 0) if channels else (0, 0), (1, 0)))
    total = np.cumsum(total, axis=1)
    return np.cumsum(total, axis=0) if channels else total
