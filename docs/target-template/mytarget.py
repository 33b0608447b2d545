"""A target for kdsnn, to begin with: integrate-and-fire neurons in numpy. Put your machine where `simulate` is."""

from collections.abc import Collection, Iterator

import numpy as np

from kdsnn.network import MEMBRANE_SHIFT, Network, neuron_of
from kdsnn.network.counters import input_messages, tally
from kdsnn.network.features import GRADED_INPUT
from kdsnn.network.linear_maps import apply
from kdsnn.targets.base import Availability, Images, Target, Violation
from kdsnn.targets.batches import Activity, BatchProgram
from kdsnn.targets.fitting import ensure_runnable, overflow_violations


class MyTarget(Target):
    """The machine: what it is called, what it takes, and whether it is there."""

    name = "mytarget"  # as in pyproject.toml
    description = "the template: integrate-and-fire neurons in numpy"
    features = frozenset({GRADED_INPUT})  # all others are refused by name; see kdsnn/network/features.py

    def probe(self) -> Availability:
        """Whether it can run here. Must not raise."""
        return Availability(True, f"numpy {np.__version__}")

    def check(self, network: Network) -> list[Violation]:
        """All limits that a network exceeds: add those of your machine."""
        return overflow_violations(network)

    def compile(self, network: Network) -> "MyProgram":
        """The network, ready to run."""
        ensure_runnable(self, network)
        return MyProgram(network, name=self.name, batch=64, versions={"numpy": np.__version__})


class MyProgram(BatchProgram):
    """A network on the machine."""

    def simulate(self, images: Images, recorded: Collection[str]) -> Iterator[Activity]:
        """What each population does on a batch `(N, *image_shape)`: its spikes `(N, T, *shape)`, and its counts."""
        network, n = self.network, len(images)
        sent = {network.input.name: input_messages(network, images)}
        for population in network.spiking:
            neuron, incoming = neuron_of(population), network.incoming(population.name)
            bias = neuron.bias.astype(np.int64).reshape(population.shape) << neuron.bias_exponent
            v = np.zeros((n, *population.shape), dtype=np.int64)
            spikes = np.zeros((n, network.timesteps, *population.shape), dtype=np.uint8)
            for t in range(network.timesteps):
                drive = sum(apply(p.op, sent[p.source][:, t].astype(np.int64)) << p.exponent for p in incoming)
                v += (drive << MEMBRANE_SHIFT) + bias
                spikes[:, t] = v > int(neuron.threshold) << MEMBRANE_SHIFT
                v[spikes[:, t] > 0] = 0
            sent[population.name] = spikes
            carried = {p.name: np.count_nonzero(sent[p.source], axis=(0, 1)) for p in incoming}
            counted = tally(network, population, int(spikes.sum()), carried, n)  # better: what your machine counted
            yield Activity(population.name, counted, spikes if population.name in recorded else None)
