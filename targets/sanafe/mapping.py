"""Where each neuron goes on Loihi's mesh, and what cannot go there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kdsnn.hardware.limits import load_hardware
from kdsnn.network import Network
from kdsnn.network.counters import fan_out
from kdsnn.targets.base import Violation
from kdsnn.targets.fitting import overflow_violations
from kdsnn.targets.placement.path_lengths import unequal_paths
from kdsnn.targets.placement.place import Placement, lacking, place
from kdsnn.targets.sanafe.architecture import PORT_NEURONS, Constants

__all__ = ["Mapping", "map_network", "violations"]

HARDWARE = "loihi1"
MAX_SYNAPSES = 2_000_000  # SANA-FE keeps each apart: some 830 bytes and 10 microseconds, so 1.7 GB and 20 s
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mapping:
    """A network on the chip.

    Attributes:
        cores: for each population, the core of each neuron, `(neurons,)`, as SANA-FE numbers them.
        used: cores that hold neurons.
        ports: cores of the first tile through which the image enters.
    """

    cores: tuple[Int64Array, ...]
    used: int
    ports: int


def violations(network: Network, constants: Constants) -> list[Violation]:
    """All reasons why SANA-FE cannot run a network exactly; none when it can."""
    if not network.integer:
        return [Violation(network.name, "is a float network; the chip's fixed-point neurons run integers")]
    found = overflow_violations(network) + unequal_paths(network, "Loihi")
    told_apart = "holds one part of weights in two synapses, and SANA-FE's messages do not tell which they reached"
    found += [Violation(projection.name, told_apart) for projection in network.projections if projection.part]
    synapses = sum(int(fan_out(p, network.population(p.source).shape).sum()) for p in network.projections)
    if synapses > MAX_SYNAPSES:
        what = (
            f"{synapses:,} synapses: SANA-FE keeps each apart, and {MAX_SYNAPSES:,} are the most that this target takes"
        )
        return [*found, Violation(network.name, what)]
    placement = _place(network)
    if placement.cores > constants.cores:
        found.append(Violation(network.name, f"needs {placement.cores:,} cores, and the chip has {constants.cores}"))
    simulated = lacking(network, placement.hardware)  # by SANA-FE, or refused as a feature
    return found + [v for v in placement.violations if v.where != network.input.name and v not in simulated]


def map_network(network: Network, constants: Constants) -> Mapping:
    """The cores of all neurons: the placer's, in order, four to a tile; the image enters at the first tile."""
    placement = _place(network)
    ports = math.ceil(network.input.neurons / PORT_NEURONS)
    first = constants.cores_per_tile
    cores: list[Int64Array] = [first + np.arange(network.input.neurons) // PORT_NEURONS]
    used = 0
    for layer, population in zip(placement.layers, network.spiking, strict=True):
        index = used + layer.core_of_each(population.shape).reshape(-1)
        cores.append(np.where(index < first, index, index + ports))
        used += len(layer.cores)
    return Mapping(tuple(cores), used, ports)


def _place(network: Network) -> Placement:
    """What the placer makes of it. An image in grey levels is no violation here: its values come as biases."""
    return place(network, load_hardware(HARDWARE))
