"""Hardware to place on, and a slow count of what a core needs, synapse by synapse."""

import math
from dataclasses import replace
from functools import lru_cache
from itertools import product

import numpy as np

from kdsnn.hardware.limits import CORE_LIMITS, Hardware, Limit, SynapseFormat, load_hardware
from kdsnn.network import Conv2d, Network, Projection
from kdsnn.targets.placement.footprint import Tile, layout
from kdsnn.targets.placement.place import Placement
from kdsnn.targets.placement.split import Load
from tests.oracles import fan_out, matrix


def small(*, shared: bool = True, **limits: int | None) -> Hardware:
    """Loihi 1 with other limits, and graded messages; None leaves a limit out."""
    hardware = load_hardware("loihi1")
    chosen = {**{name: limit.value for name, limit in hardware.limits.items()}, "message_bits": 8, **limits}
    known = tuple(
        Limit(name=name, value=value, unit="u", source="s", date="d")
        for name, value in chosen.items()
        if value is not None
    )
    synapses = hardware.synapses.model_copy(update={"shared": shared})
    return hardware.model_copy(update={"name": "small", "given": known, "lacks": (), "synapses": synapses})


def check(network: Network, placement: Placement) -> None:
    """Every neuron is on one core, no core holds more than it can, and every load is what the slow count gives."""
    cores = {layer.name: [core.tile for core in layer.cores] for layer in placement.layers}
    loads = {layer.name: [core.load for core in layer.cores] for layer in placement.layers}
    assert list(cores) == [p.name for p in network.spiking]
    for population in network.spiking:
        placed = [neuron for tile in cores[population.name] for neuron in members(tile, population.shape)]
        assert sorted(placed) == list(range(population.neurons))
        slow = [_load(network, cores, population.name, tile, placement.hardware) for tile in cores[population.name]]
        assert loads[population.name] == slow
        projections = network.incoming(population.name)
        fan_outs = sum(int(fan_out(p.op, network.population(p.source).shape).sum()) for p in projections)
        assert sum(load.synapses for load in slow) == fan_outs
    for name in CORE_LIMITS:
        most = placement.hardware.most(name)
        assert most is None or placement.violations or all(layer.fullest(name) <= most for layer in placement.layers)


def members(tile: Tile, shape: tuple[int, ...]) -> list[int]:
    """Flat indices of the neurons of a tile."""
    _, positions = layout(shape)
    channels = range(tile.first_channel, tile.end_channel)
    return [c * positions + p for c, p in product(channels, range(tile.first_position, tile.end_position))]


def core_numbers(placement: Placement, network: Network) -> dict[str, np.ndarray]:
    """Of each neuron of each population; the input's neurons lie on the first tile."""
    found, used = {network.input.name: np.zeros(network.input.neurons, np.int64)}, 0
    for layer in placement.layers:
        shape = network.population(layer.name).shape
        channels, positions = (shape[0], math.prod(shape[1:])) if len(shape) == 3 else (shape[0], 1)
        numbers = np.full((channels, positions), -1)
        for core in layer.cores:
            tile = core.tile
            numbers[tile.first_channel : tile.end_channel, tile.first_position : tile.end_position] = used
            used += 1
        found[layer.name] = numbers.reshape(-1)
    return found


@lru_cache(maxsize=64)
def weights(network: Network, projection: Projection) -> np.ndarray:
    """`(targets, sources)`: which weight, counted from one, each synapse has; zero where there is none."""
    source, op = network.population(projection.source).shape, projection.op
    numbered = replace(op, weight=np.arange(1, op.weight.size + 1).reshape(op.weight.shape))
    return matrix(numbered, source, network.population(projection.target).neurons).toarray()


def _load(network: Network, cores: dict[str, list[Tile]], name: str, tile: Tile, hardware: Hardware) -> Load:
    shape, format_ = network.population(name).shape, hardware.synapses
    mine = members(tile, shape)
    synapses = memory = inputs = outputs = 0
    for projection in network.incoming(name):
        reach, source = weights(network, projection)[mine], network.population(projection.source).shape
        shared = format_.shared and isinstance(projection.op, Conv2d)
        synapses += np.count_nonzero(reach)
        inputs += _axons(reach.any(axis=0), source, shared=shared)
        memory += _memory(reach, tile, projection, format_)
    for projection in network.projections:
        if projection.source == name:
            shared = format_.shared and isinstance(projection.op, Conv2d)
            hears = _hears(network, projection, tuple(cores[projection.target]))
            sends = np.zeros_like(hears)
            sends[:, mine] = hears[:, mine]
            outputs += _axons(sends, shape, shared=shared) * (format_.shared_axon_slots if shared else 1)
    return Load(len(mine), synapses, memory, inputs, outputs)


@lru_cache(maxsize=64)
def _hears(network: Network, projection: Projection, tiles: tuple[Tile, ...]) -> np.ndarray:
    """`(tiles, sources)`: whether a synapse leads from a source to a neuron of the tile."""
    target = network.population(projection.target).shape
    synapses = weights(network, projection) != 0
    return np.array([synapses[members(tile, target)].any(axis=0) for tile in tiles])


def _axons(neurons: np.ndarray, shape: tuple[int, ...], *, shared: bool) -> int:
    """Of neurons `(..., N)` that send, those of each leading index by themselves."""
    grid = neurons.reshape(*neurons.shape[:-1], *layout(shape))
    return int(grid.any(axis=-2).sum() if shared else neurons.sum())


def _memory(reach: np.ndarray, tile: Tile, projection: Projection, format_: SynapseFormat) -> int:
    """A list for each source neuron: at which offset, in which channel, which weight. Equal ones once where shared."""
    convolution, run = isinstance(projection.op, Conv2d), tile.end_position - tile.first_position
    lists = []
    for column in reach.T[reach.any(axis=0)]:
        where = np.flatnonzero(column)
        channel, position = np.divmod(where, run)
        offset = position - position.min()
        lists.append(tuple(zip(offset.tolist(), channel.tolist(), column[where].tolist(), strict=True)))
    stored = {*lists} if format_.shared and convolution else lists
    lengths = np.array([len(each) for each in stored], dtype=np.int64)
    return int(format_.list_bits(lengths, indexed=convolution).sum())
