"""What the cores of a placed network do: synaptic operations, updates, messages between them, and the hops they make.

Cores are taken in the order of the placement, as many to a tile as the chip has, column by column; the image
enters at the first tile. Tests hold messages and hops to what SANA-FE counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.energy.deployment import Deployment, Traffic, Work
from kdsnn.energy.models import Chip
from kdsnn.network import Network, Projection
from kdsnn.network.linear_maps import apply
from kdsnn.targets.placement.footprint import Footprint, Tile, layout
from kdsnn.targets.placement.place import Layer, Placement

__all__ = ["deployment_of"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def deployment_of(
    network: Network, placement: Placement, chip: Chip, emitted: Mapping[str, Array], samples: int, *, even: bool
) -> Deployment:
    """Where a network lies, and what its cores do there.

    Args:
        network: an integer network.
        placement: of it, on the hardware that the chip names.
        chip: of an energy model.
        emitted: for every population, the number of messages of each neuron, of all steps and samples, in its shape.
        samples: number of them.
        even: whether these are means of whole layers, for want of anything better.
    """
    steps = samples * network.timesteps
    tile_of, used = {network.input.name: np.zeros(layout(network.input.shape), dtype=np.int64)}, 0
    for layer, population in zip(placement.layers, network.spiking, strict=True):
        tile_of[population.name] = (used + layer.core_of_each(population.shape)) // chip.cores_per_tile
        used += len(layer.cores)
    sent = {p.name: emitted[p.name].reshape(layout(p.shape)).astype(np.float64) for p in network.populations}
    work: list[Work] = []
    traffic: dict[str, Traffic] = {}
    for layer, population in zip(placement.layers, network.spiking, strict=True):
        first = len(work)
        events = _events(network, layer.name, emitted)
        fired = sent[layer.name]
        for core in layer.cores:
            part = _part(core.tile)
            work.append(Work(float(events[part].sum()) / steps, float(fired[part].sum()) / steps, core.tile.neurons))
        tiles = (first + np.arange(len(layer.cores))) // chip.cores_per_tile
        into = np.zeros(3)
        for projection in network.incoming(population.name):
            shape = network.population(projection.source).shape
            footprint = Footprint.of(projection, shape, placement.hardware.synapses)
            arriving = _arriving(network, projection) * sent[projection.source]
            into += _traffic(footprint, layer, tiles, arriving, tile_of[projection.source], chip)
        messages, *hops = (into / samples).tolist()
        traffic[layer.name] = Traffic(messages, *(hops if placement.chips == 1 else (0.0, 0.0)))
    problems = tuple(str(v) for v in placement.violations if v.where != network.input.name)
    depth = network.depths[network.output.name]
    return Deployment(placement.chips, tuple(work), network.timesteps, depth, traffic, even, problems)


def _part(tile: Tile) -> tuple[slice, slice]:
    return slice(tile.first_channel, tile.end_channel), slice(tile.first_position, tile.end_position)


def _events(network: Network, name: str, emitted: Mapping[str, Array]) -> Floats:
    """Synapses of each neuron that messages arrived at, `(channels, positions)`."""
    shape = network.population(name).shape
    total = np.zeros(layout(shape))
    for projection in network.incoming(name):
        every = replace(projection.op, weight=np.ones_like(projection.op.weight))
        source = network.population(projection.source).shape
        arriving = _arriving(network, projection) * emitted[projection.source].reshape(1, *source)
        total += apply(every, arriving).reshape(total.shape)
    return total


def _arriving(network: Network, projection: Projection) -> float:
    """The share of messages that arrive: a population's own, one step late, do not after an image's last step.

    How many those are is not in the sums over steps; one step's share is taken off.
    """
    return 1.0 - 1 / network.timesteps if projection.source == projection.target else 1.0


def _traffic(footprint: Footprint, layer: Layer, tiles: Array, sent: Floats, tile_of: Array, chip: Chip) -> Floats:
    """Messages of a projection, and their hops east or west and north or south."""
    found = np.zeros(3)
    column, row = np.divmod(tile_of, chip.tiles_high)
    for core, tile in zip(layer.cores, tiles.tolist(), strict=True):
        if footprint.convolution:
            first, end = footprint.source_channels(core.tile)
            taps = np.unique(footprint.taps[core.tile.first_position : core.tile.end_position])
            heard = (slice(first, end), taps[taps >= 0])
        else:
            heard = (slice(None), np.arange(sent.shape[1]))
        messages = sent[heard]
        to_column, to_row = divmod(tile, chip.tiles_high)
        found += (
            messages.sum(),
            (messages * np.abs(column[heard] - to_column)).sum(),
            (messages * np.abs(row[heard] - to_row)).sum(),
        )
    return found
