"""The greedy placer: a population in tiles, each of which fits a core.

A tile is a run of channels at a run of positions. All tiles but the last ones have as many channels, and each has as
many positions as fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from kdsnn.hardware.limits import CORE_LIMITS, Hardware
from kdsnn.network import Population
from kdsnn.targets.base import Violation
from kdsnn.targets.placement.axons import OutputAxons
from kdsnn.targets.placement.footprint import Footprint, Tile, layout

__all__ = ["Load", "Site", "split"]

NEEDS = {  # what a single neuron needs of a core, in words
    "synaptic_memory": "a neuron needs {worst:,} bits of synaptic memory, and a core has {most:,}",
    "input_axons": "a neuron needs {worst:,} input axons, and a core has {most:,}",
    "output_axons": "a neuron needs {worst:,} output axons, and a core has {most:,}",
}


@dataclass(frozen=True)
class Load:
    """What neurons need of their cores. `synaptic_memory` is in bits."""

    neurons: int
    synapses: int
    synaptic_memory: int
    input_axons: int
    output_axons: int


@dataclass(frozen=True, eq=False)
class Site:
    """A population that is being placed: what its tiles need, and whether they fit a core."""

    population: Population
    footprints: tuple[Footprint, ...]
    output_axons: OutputAxons
    hardware: Hardware
    _memory: dict[tuple[int, ...], int] = field(default_factory=dict)

    def load(self, tile: Tile) -> Load:
        """What a tile needs."""
        return Load(
            neurons=tile.neurons,
            synapses=sum(f.synapses(tile) for f in self.footprints),
            synaptic_memory=self.memory(tile),
            input_axons=self.input_axons(tile),
            output_axons=self.output_axons(tile),
        )

    def fits(self, tile: Tile) -> bool:
        """Whether a core holds a tile."""
        room = self.room
        return (
            tile.neurons <= room["neurons"]
            and self.output_axons(tile) <= room["output_axons"]
            and self.input_axons(tile) <= room["input_axons"]
            and self.memory(tile) <= room["synaptic_memory"]
        )

    def input_axons(self, tile: Tile) -> int:
        """One for each neuron, or shared by those at a position, that some neuron of the tile hears."""
        return sum(f.input_axons(tile) for f in self.footprints)

    def memory(self, tile: Tile) -> int:
        """Bits of synaptic memory; the same for all runs of as many channels that begin alike in their groups."""
        offsets = (tile.first_channel % f.outputs for f in self.footprints)
        key = (tile.first_position, tile.end_position, tile.channels, *offsets)
        if key not in self._memory:
            self._memory[key] = sum(f.memory_bits(tile) for f in self.footprints)
        return self._memory[key]

    @cached_property
    def worst(self) -> dict[str, int]:
        """The most that a single neuron needs."""
        one = np.ones(1, dtype=np.int64)  # a list of a single synapse
        bits = [f.heard * f.inputs * f.format.list_bits(one, indexed=f.convolution) for f in self.footprints]
        axons = [f.heard * (1 if f.shared else f.inputs) for f in self.footprints]
        return {
            "neurons": 1,
            "synaptic_memory": int(np.sum(bits, axis=0).max()),
            "input_axons": int(np.sum(axons, axis=0).max()),
            "output_axons": self.output_axons.worst(),
        }

    @cached_property
    def room(self) -> dict[str, float]:
        """The limits of a core, raised where a single neuron needs more."""
        known = {name: self.hardware.most(name) for name in CORE_LIMITS}
        return {name: math.inf if most is None else max(most, self.worst[name]) for name, most in known.items()}

    @cached_property
    def violations(self) -> list[Violation]:
        """The limits of a core that a single neuron exceeds."""
        return [
            Violation(self.population.name, NEEDS[name].format(worst=worst, most=self.hardware.most(name)))
            for name, worst in self.worst.items()
            if worst > (self.hardware.most(name) or math.inf)
        ]


def split(site: Site) -> list[Tile]:
    """The population in tiles that fit: as many channels to a tile as can be, or half, or a quarter; down to one.

    The best take the fewest cores: its own, and those that its sources need for their output axons.
    """
    channels, _ = layout(site.population.shape)
    size = 2 * _most_channels(site, channels)
    best: list[Tile] = []
    least = math.inf
    while size > 1:
        size = math.ceil(size / 2)
        tiles = _tiles(site, channels, size, least)
        if tiles and (cost := _cost(site, tiles)) < least:
            best, least = tiles, cost
    return best


def _most_channels(site: Site, channels: int) -> int:
    """How many channels of any single position fit on a core, output axons apart; one at least."""
    patterns = np.concatenate([f.taps >= 0 for f in site.footprints], axis=1)
    _, positions = np.unique(patterns, axis=0, return_index=True)

    def fit(size: int) -> bool:
        tiles = [Tile(0, size, int(p), int(p) + 1) for p in positions]
        return size <= site.room["neurons"] and all(
            site.input_axons(tile) <= site.room["input_axons"] and site.memory(tile) <= site.room["synaptic_memory"]
            for tile in tiles
        )

    low, high = 1, channels + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    return low


def _tiles(site: Site, channels: int, size: int, least: float) -> list[Tile]:
    """The population with so many channels to a tile, each at as long a run of positions as fits.

    None where a single position does not fit, or where it takes `least` tiles or more.
    """
    _, positions = layout(site.population.shape)
    tiles: list[Tile] = []
    length = 1
    for first in range(0, channels, size):
        start, end = 0, min(first + size, channels)
        while start < positions:
            length = _longest(site, Tile(first, end, start, positions), length)
            if length == 0 or len(tiles) >= least:
                return []
            tiles.append(Tile(first, end, start, start + length))
            start += length
    return tiles


def _longest(site: Site, rest: Tile, guess: int) -> int:
    """How many of the first positions of a tile fit a core, 0 where not even one does; searched from a guess."""
    most = rest.end_position - rest.first_position

    def fit(length: int) -> bool:
        return site.fits(replace(rest, end_position=rest.first_position + length))

    if fit(most):  # the end of the image breaks fewer lists than a cut before it
        return most
    low, high = 0, most
    length, step = min(guess, most), 1
    while low < length < high:
        low, high = (length, high) if fit(length) else (low, length)
        length = low + step if low else high // 2
        step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    return low


def _cost(site: Site, tiles: list[Tile]) -> float:
    axons = site.hardware.most("output_axons")
    return len(tiles) + (sum(site.input_axons(tile) for tile in tiles) / axons if axons else 0.0)
