"""Puts a network on the cores of a chip: a greedy placer, and what each core then needs against what it has.

A core holds neurons of one population: a run of channels at a run of positions. Populations are placed from the output
to the input, since a neuron needs an output axon for each core that it sends to. docs/placement.md has the rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import DoesNotFitError, NetworkError
from kdsnn.hardware.limits import CORE_LIMITS, Hardware
from kdsnn.network import Network, Shape, neuron_of
from kdsnn.network.counters import kind_of
from kdsnn.targets.base import Violation
from kdsnn.targets.placement.axons import Destinations
from kdsnn.targets.placement.footprint import Footprint, Tile, layout
from kdsnn.targets.placement.settle import settle
from kdsnn.targets.placement.split import Load

__all__ = ["Core", "Layer", "Placement", "ensure_placeable", "lacking", "place"]

MOST_CORES = 2**16  # 512 chips of Loihi 1


@dataclass(frozen=True)
class Core:
    """One core: which neurons are on it, and what they need."""

    tile: Tile
    load: Load


@dataclass(frozen=True)
class Layer:
    """A spiking population, its synapses, and the cores that hold them."""

    name: str
    kind: str
    relay: bool
    cores: tuple[Core, ...]

    def core_of_each(self, shape: Shape) -> npt.NDArray[np.int64]:
        """For each neuron of the population, of that shape, which of its cores it is on: `(channels, positions)`."""
        index = np.full(layout(shape), -1, dtype=np.int64)
        for number, core in enumerate(self.cores):
            tile = core.tile
            index[tile.first_channel : tile.end_channel, tile.first_position : tile.end_position] = number
        return index

    def total(self, what: str) -> int:
        """Sum over its cores, such as `total("synapses")`."""
        return sum(int(getattr(core.load, what)) for core in self.cores)

    def fullest(self, what: str) -> int:
        """The largest need of a core."""
        return max(int(getattr(core.load, what)) for core in self.cores)


@dataclass(frozen=True)
class Placement:
    """A network on a chip.

    Attributes:
        hardware: its limits.
        layers: a spiking population each, in the order of the network.
        violations: every limit that the network exceeds. Where a single neuron exceeds a limit of a core, that limit
            is raised for its population to what the neuron needs, so that the rest is found too.
    """

    hardware: Hardware
    layers: tuple[Layer, ...]
    violations: tuple[Violation, ...]

    @property
    def cores(self) -> int:
        """Cores in use."""
        return sum(len(layer.cores) for layer in self.layers)

    @property
    def chips(self) -> int:
        """Chips in use."""
        return math.ceil(self.cores / self.hardware.cores)

    @property
    def relay_cores(self) -> int:
        """Cores that hold relay populations, which only make paths equally long."""
        return sum(len(layer.cores) for layer in self.layers if layer.relay)

    def total(self, what: str) -> int:
        """Sum over all cores, such as `total("synapses")`."""
        return sum(layer.total(what) for layer in self.layers)

    def share(self, what: str, layer: Layer | None = None) -> float | None:
        """What is used of what the cores in use have, all or a layer's; None where the limit is not known."""
        most = self.hardware.most(what)
        used, cores = (self.total(what), self.cores) if layer is None else (layer.total(what), len(layer.cores))
        return None if most is None else used / (most * cores)

    def as_json(self) -> dict[str, Any]:
        """The `placement` object of `--json`."""
        whats = ("neurons", "synapses", "synaptic_memory", "input_axons", "output_axons")
        return {
            "hardware": self.hardware.name,
            "limits": {name: limit.value for name, limit in self.hardware.limits.items()},
            "cores": self.cores,
            "chips": self.chips,
            "relay_cores": self.relay_cores,
            **{what: self.total(what) for what in whats},
            "used": {what: self.share(what) for what in CORE_LIMITS},
            "layers": [
                {
                    "name": layer.name,
                    "relay": layer.relay,
                    "cores": len(layer.cores),
                    **{what: layer.total(what) for what in whats},
                    "used": {what: self.share(what, layer) for what in CORE_LIMITS},
                    "fullest": {what: layer.fullest(what) for what in CORE_LIMITS},
                }
                for layer in self.layers
            ],
            "violations": [str(violation) for violation in self.violations],
        }


def place(network: Network, hardware: Hardware, *, chips: int | None = None) -> Placement:
    """The network on as many cores as it takes, with every limit that it exceeds.

    Args:
        network: an integer network.
        hardware: the limits of a chip.
        chips: how many there are; None for as many as it takes.

    Raises:
        NetworkError: the network is float.
        DoesNotFitError: it needs so many cores that placing it would take minutes.
    """
    if not network.integer:
        raise NetworkError("only integer networks are placed, and this one is float", hint="run kdsnn quantize first")
    _ensure_not_endless(network, hardware)
    sent = {p.name: Destinations(p.shape) for p in network.populations}
    layers: list[Layer] = []
    violations: list[Violation] = []
    for population in reversed(network.spiking):
        projections = network.incoming(population.name)
        footprints = [Footprint.of(p, network.population(p.source).shape, hardware.synapses) for p in projections]
        site, tiles, exceeded = settle(population, tuple(footprints), sent[population.name], hardware)
        cores = tuple(Core(tile, site.load(tile)) for tile in tiles)
        layers.insert(0, Layer(population.name, kind_of(projections), population.relay, cores))
        violations[:0] = exceeded
        for footprint, tile in product(footprints, tiles):
            sent[footprint.source].add(footprint, tile)
    placement = Placement(hardware, tuple(layers), ())
    found = (
        *lacking(network, hardware),
        *_widths(network, hardware),
        *violations,
        *_too_many_chips(network, placement, chips),
    )
    return Placement(hardware, placement.layers, found)


def _ensure_not_endless(network: Network, hardware: Hardware) -> None:
    each = hardware.most("neurons")
    fewest = 0 if each is None else sum(math.ceil(p.neurons / each) for p in network.spiking)
    if fewest > MOST_CORES:
        raise DoesNotFitError(
            f"network {network.name!r} needs at least {fewest:,} cores of {hardware.name}; no more than {MOST_CORES:,}"
            " are placed here"
        )


def ensure_placeable(network: Network, hardware: Hardware, *, chips: int | None = None) -> Placement:
    """The placement of a network that fits.

    Raises:
        DoesNotFitError: it does not, with all violations.
    """
    placement = place(network, hardware, chips=chips)
    if placement.violations:
        raise DoesNotFitError(
            f"network {network.name!r} does not fit {hardware.name}", problems=[str(v) for v in placement.violations]
        )
    return placement


def lacking(network: Network, hardware: Hardware) -> list[Violation]:
    """Features that the network uses and the hardware does not have."""
    return [
        Violation(network.name, f"uses {lack.feature!r}, which {hardware.name} does not have: {lack.why}")
        for lack in hardware.lacks
        if lack.feature in network.features
    ]


def _widths(network: Network, hardware: Hardware) -> list[Violation]:
    """Messages, weights and thresholds that need more bits than the hardware has."""
    needed = [(network.input.name, "message_bits", network.input_bits, "messages")]
    for projection in network.projections:
        low, high = int(projection.op.weight.min(initial=0)), int(projection.op.weight.max(initial=0))
        bits = 1 + max((-low - 1).bit_length() if low else 0, high.bit_length())
        needed.append((projection.name, "weight_bits", bits, "weights"))
    for population in network.spiking:
        bits = int(neuron_of(population).threshold).bit_length()
        needed.append((population.name, "threshold_bits", bits, "a threshold"))
    return [
        Violation(where, f"{what} of {bits} bits, and {hardware.name} has {most}")
        for where, name, bits, what in needed
        if (most := hardware.most(name)) is not None and bits > most
    ]


def _too_many_chips(network: Network, placement: Placement, chips: int | None) -> list[Violation]:
    if chips is None or placement.chips <= chips:
        return []
    what = f"needs {placement.cores:,} cores, {placement.chips:,} chips of {placement.hardware.cores:,}, not {chips:,}"
    return [Violation(network.name, what)]
