"""Grey levels, which Loihi 1's spikes cannot carry: what they drive is added up here, and enters from outside.

Where a population's current keeps nothing from step to step, the drive comes with its bias. Where it does, the drive
comes as one spike of each lane over synapses that weigh just that much, so that the emulator's current takes it up.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from blocks import SHIFT, connect
from nengo_job import Job
from nengo_loihi.block import LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.inputs import SpikeInput
from scipy.sparse import csr_matrix

__all__ = ["Levels"]

Array = npt.NDArray[np.int32]


class Levels:
    """The grey levels that a projection carries into a population.

    Args:
        stored: its synapses, `(3, synapses)`: source, target and weight.
        job: what runs.
        target: index of the population.
        block: its block.
        model: of the emulator.

    Attributes:
        macs: synapses that the nonzero levels of all images and steps reached; the second without weights of zero.
    """

    def __init__(self, stored: Array, job: Job, target: int, block: LoihiBlock, model: Model) -> None:
        source, reached, weight = stored.astype(np.int64)
        population, sources = job["populations"][target], job["populations"][0]["neurons"]
        shape = (population["neurons"], sources)
        self.weights = csr_matrix((weight << SHIFT, (reached, source)), shape=shape)
        self.fan_out = np.bincount(source, minlength=sources), np.bincount(source[weight != 0], minlength=sources)
        self.macs = np.zeros(2, dtype=np.int64)
        self.lasting = population["decay_u"] < 4096
        if self.lasting:
            nothing = np.zeros((job["lanes"], 1, population["neurons"]), dtype=np.int32)
            everyone = np.arange(population["neurons"], dtype=np.int32)[None]
            self.synapse = Synapse(job["lanes"])
            self.synapse.set_population_weights(
                list(nothing),
                [everyone] * job["lanes"],
                [*range(job["lanes"])],
                [lane * population["neurons"] for lane in range(job["lanes"])],
            )
            self.synapse.weights = list(nothing)
            self.spikes = SpikeInput(job["lanes"])
            connect(self.spikes, self.synapse, block)
            model.add_input(self.spikes)

    def count(self, messages: npt.NDArray[np.uint8], steps: int) -> None:
        """Counts what messages `(lanes, T or 1, neurons)` reach, each of them sent in so many steps."""
        sent = np.count_nonzero(messages, axis=(0, 1)) * steps
        self.macs += [int((sent * reached).sum()) for reached in self.fan_out]

    def drive(self, messages: npt.NDArray[np.uint8]) -> Array:
        """What messages `(lanes, neurons)` of a step add up to at each neuron, `(lanes, target neurons)`."""
        driven: Array = (self.weights @ messages.T.astype(np.int64)).T.astype(np.int32)
        return driven

    def send(self, drive: Array, step: int) -> None:
        """Has a drive that lasts arrive at a time step."""
        for lane, weights in enumerate(drive):
            self.synapse.weights[lane] = weights[None]
        self.spikes.add_spikes(step - 1, [*range(len(drive))])  # what is sent in a step arrives in the next
