"""Synaptic events, counted in the emulator's own queues: every spike that it takes to an axon, over what lies there."""

from __future__ import annotations

import numpy as np
from blocks import Blocks
from nengo_job import Job
from nengo_loihi.emulator import EmulatorInterface

__all__ = ["Events"]


class Events:
    """Counts for each projection.

    Attributes:
        counted: `(projections, 4)`: events of spikes, those at nonzero weights, and two columns for grey levels.
    """

    def __init__(self, emulator: EmulatorInterface, blocks: Blocks, job: Job) -> None:
        self.emulator, self.blocks, self.timesteps = emulator, blocks, job["timesteps"]
        self.counted = np.zeros((len(job["projections"]), 4), dtype=np.int64)
        self.begins, self.ends, self.sizes = {}, {}, {}
        for index, synapse in blocks.synapses.items():
            projection = job["projections"][index]
            depth = job["populations"][projection["source"]]["depth"]
            recurrent = projection["source"] == projection["target"]
            self.begins[index] = depth + 2  # what is sent in a step arrives in the next
            self.ends[index] = depth + 1 + self.timesteps - recurrent  # an image's last never arrives there
            held = [(weights.size, np.count_nonzero(weights)) for weights in synapse.weights]
            self.sizes[index] = np.tile(np.array(held, dtype=np.int64).reshape(-1, 2), (job["lanes"], 1))

    def add(self, step: int) -> None:
        """Counts what arrived in a step, counted from the first of this round of images."""
        for index, synapse in self.blocks.synapses.items():
            if self.begins[index] <= step <= self.ends[index]:
                arrived = [spike.axon_idx for spike in self.emulator.synapses.spikes_in[synapse]]
                self.counted[index, :2] += self.sizes[index][arrived].sum(axis=0)
