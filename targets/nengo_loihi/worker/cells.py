"""A population in the emulator: when it works on an image, what it is given then, and what it did.

An image begins at step 1, and a population works on it from `depth` steps later, for every group of axons takes one.
Before and after, it is kept at zero and without a bias, and its state is taken back where its work begins.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from levels import Levels
from nengo_job import Job
from nengo_loihi.block import LoihiBlock
from nengo_loihi.emulator import EmulatorInterface
from nengo_loihi.probe import LoihiProbe

__all__ = ["Cells"]


class Cells:
    """The compartments of a population, in all lanes.

    Args:
        emulator: that they are in.
        block: of them.
        job: what runs.
        index: of the population.
        bias: of each neuron, `(neurons,)`, 64 to a weight unit.
        levels: that enter, of each projection that carries any.
        probes: by the name of what is read, `spiked` or `voltage`.

    Attributes:
        spikes: that the emulator counted, over all images.
        updates: of neurons, likewise.
    """

    def __init__(
        self,
        emulator: EmulatorInterface,
        block: LoihiBlock,
        job: Job,
        index: int,
        bias: npt.NDArray[np.int32],
        levels: list[Levels],
        probes: dict[str, LoihiProbe],
    ) -> None:
        self.emulator, self.where = emulator, emulator.block_info.slices[block]
        self.depth, self.neurons = job["populations"][index]["depth"], job["populations"][index]["neurons"]
        self.timesteps, self.lanes, self.bias = job["timesteps"], job["lanes"], bias
        self.levels, self.probes = levels, probes
        self.spikes = self.updates = self._before = 0

    def phase(self, step: int) -> int:
        """The time step of the image that a step is for this population: from 0 to T - 1 where it works."""
        return step - 1 - self.depth

    def prepare(self, step: int, messages: npt.NDArray[np.uint8]) -> None:
        """Sets what the compartments need before a step.

        Args:
            step: from 1, counted from the first of this round of images.
            messages: what the input sends, `(images, T or 1, input neurons)`.
        """
        state, here, phase = self.emulator.compartment, self.where, self.phase(step)
        works = 0 <= phase < self.timesteps
        if not works or phase == 0:
            state.current[here] = state.voltage[here] = state.bias[here] = 0
        if phase == 0:
            state.spiked[here] = False  # what it sent to itself at the end of the round before
            self._before = self._counted()
        if works and (phase == 0 or self.levels):
            self._give(phase, messages)

    def after(self, step: int, images: int) -> None:
        """Counts, where a step was the last one of its work on so many images."""
        if self.phase(step) == self.timesteps - 1:
            self.spikes += self._counted() - self._before
            self.updates += images * self.neurons * self.timesteps

    def read(self, probe: str, images: int) -> npt.NDArray[np.int32]:
        """What a probe recorded in its work, `(images, T, neurons)`, and forgets."""
        recorded = self.emulator.collect_probe_output(self.probes[probe])[self.depth :][: self.timesteps]
        lanes: npt.NDArray[np.int32] = recorded.reshape(self.timesteps, self.lanes, self.neurons)
        return lanes[:, :images].swapaxes(0, 1)

    def _counted(self) -> int:
        return int(self.emulator.compartment.spike_count[self.where].sum(dtype=np.int64))

    def _give(self, phase: int, messages: npt.NDArray[np.uint8]) -> None:
        """The bias, and what grey levels bring in this step; lanes without an image get nothing."""
        given = np.zeros((self.lanes, self.neurons), dtype=np.int32)
        given[: len(messages)] = self.bias
        for levels in self.levels:
            drive = levels.drive(messages[:, min(phase, messages.shape[1] - 1)])
            if levels.lasting:
                levels.send(drive, self.emulator.t + 1)
            else:
                given[: len(messages)] += drive
        self.emulator.compartment.bias[self.where] = given.reshape(-1)
