"""The network as nengo-loihi's blocks, with whole numbers from the start: what it calls discretization never happens.

Each population is a block, each projection a group of synapses and the axons into it. The images that run side by side
are lanes: a block has the compartments of all lanes, lane after lane, and the axons of each lane share the weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from nengo_job import Job, JobPopulation, JobProjection
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.inputs import SpikeInput

__all__ = ["Blocks", "connect"]

SHIFT = 6  # 64 to a weight unit
HIGHEST = 2**23 - 1  # of a potential; the lowest is its negative


class Blocks:
    """The blocks, and the synapses between them.

    Attributes:
        model: what the emulator takes.
        of: for each population its block, or for the input the spikes that it sends.
        synapses: for each projection that carries spikes, and reaches anything: nengo-loihi takes no empty one.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        lanes, populations = job["lanes"], job["populations"]
        self.model = Model()
        self.entry = SpikeInput(populations[0]["neurons"] * lanes)
        self.model.add_input(self.entry)
        self.of: dict[int, LoihiBlock] = {}
        for index, population in enumerate(populations[1:], start=1):
            self.of[index] = _block(population, lanes)
            self.model.add_block(self.of[index])
        self.synapses: dict[int, Synapse] = {}
        for index, projection in enumerate(job["projections"]):
            stored = np.load(folder / f"synapses.{index}.npy", allow_pickle=False)
            if not projection["graded"] and stored.size:
                self.synapses[index] = self._project(stored, projection, job)

    def _project(self, stored: npt.NDArray[np.int32], projection: JobProjection, job: Job) -> Synapse:
        """The synapses `(3, synapses)` (source, target, weight) of a projection, one list to each source neuron."""
        sources, targets = (job["populations"][projection[end]]["neurons"] for end in ("source", "target"))
        source, target, weight = stored[:, np.argsort(stored[0], kind="stable")]
        edges = np.cumsum(np.bincount(source, minlength=sources))[:-1]
        weights, indices = np.split(weight << SHIFT, edges), np.split(target, edges)
        bases = np.repeat(np.arange(job["lanes"]) * targets, sources).tolist()
        synapse = Synapse(sources * job["lanes"])
        synapse.set_population_weights(weights, indices, [*range(sources)] * job["lanes"], bases)
        synapse.weights = [each.astype(np.int32) for each in synapse.weights]
        if not projection["indexed"]:
            synapse.format(compression=3)
        block = self.of[projection["target"]]
        connect(self.of.get(projection["source"], self.entry), synapse, block)
        return synapse

    def utilization(self, lanes: int) -> dict[str, int]:
        """What nengo-loihi says that the blocks of one lane occupy, summed over blocks."""
        parts = [block.utilization() for block in self.of.values()]
        used = {name: sum(part[name][0] for part in parts) for name in parts[0]}
        return {
            "compartments": used["compartments"] // lanes,
            "in_axons": used["in-axons"] // lanes,
            "out_axons": used["out-axons"] // lanes,
            "synapse_bits": used["synapses"],  # lanes share them
        }


def connect(source: LoihiBlock | SpikeInput, synapse: Synapse, block: LoihiBlock) -> None:
    """Leads every neuron of a source to the axon of its number of a block's synapses."""
    block.add_synapse(synapse)
    axon = Axon(synapse.n_axons)
    axon.target = synapse
    source.add_axon(axon)


def _block(population: JobPopulation, lanes: int) -> LoihiBlock:
    block = LoihiBlock(population["neurons"] * lanes)
    compartment = block.compartment

    def whole(value: int) -> npt.NDArray[np.int32]:
        return np.full(block.n_neurons, value, dtype=np.int32)

    compartment.decay_u = whole(population["decay_u"] - 1)  # the emulator, as the chip, takes one more
    compartment.decay_v = whole(population["decay_v"])
    compartment.scale_u = compartment.scale_v = False
    compartment.vth = whole(population["threshold"] << SHIFT)
    compartment.vmin, compartment.vmax = -HIGHEST, HIGHEST
    compartment.bias = whole(0)  # given when the population's work begins
    compartment.refract_delay = whole(1)  # the least of the chip: none
    return block
