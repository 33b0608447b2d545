"""The reference target: whole numbers in numpy, written to be read as the specification of the integer semantics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
import numpy.typing as npt

from kdsnn.network import DECAY_UNITY, LOWEST, MEMBRANE_SHIFT, Network, Projection, counters, neuron_of
from kdsnn.network.features import CLIPPING, CURRENT, GRADED_INPUT, LEAK, MEMBRANE_READOUT
from kdsnn.network.linear_maps import apply
from kdsnn.targets.base import Availability, Target, Violation
from kdsnn.targets.batches import Activity, BatchProgram
from kdsnn.targets.fitting import overflow_violations

__all__ = ["Arrives", "ReferenceProgram", "ReferenceTarget", "decay", "simulate", "sums"]

BATCH = 32  # images at once: bounds the memory
Int64Array = npt.NDArray[np.int64]
Spikes = dict[str, npt.NDArray[np.uint8]]
Potentials = npt.NDArray[np.int32]
Arrives = Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]]  # of those that fired, those whose spike arrives


def simulate(
    network: Network, images: npt.NDArray[np.uint8], arrives: Arrives | None = None
) -> tuple[Spikes, Potentials]:
    """What a network does on images `(N, C, H, W)` uint8.

    Returns:
        The spikes of every population but the input, `(N, T, *shape)` uint8, and the potential of the output after the
        last step, `(N, *shape)` int32. With `arrives`, which is no part of the specification, they are the spikes that
        arrive (`kdsnn.noise.faults`).
    """
    n, steps = len(images), network.timesteps
    image = counters.input_messages(network, images)
    of_image = {p.name: sums(p, image) for p in network.projections if p.source == network.input.name}
    u = {p.name: np.zeros((n, *p.shape), dtype=np.int64) for p in network.spiking}
    v = {p.name: np.zeros((n, *p.shape), dtype=np.int64) for p in network.spiking}
    spikes: Spikes = {p.name: np.zeros((n, steps, *p.shape), dtype=np.uint8) for p in network.spiking}
    for t in range(steps):
        for population in network.spiking:
            name, neuron = population.name, neuron_of(population)
            bias = neuron.bias.astype(np.int64).reshape(population.shape) << neuron.bias_exponent
            incoming = network.incoming(name)
            a = sum(of_image[p.name] if p.name in of_image else sums(p, spikes[p.source][:, t]) for p in incoming)
            u[name] = decay(u[name], int(neuron.decay_u)) + (a << MEMBRANE_SHIFT)
            v[name] = decay(v[name], int(neuron.decay_v)) + u[name] + bias
            if neuron.clips:
                v[name] = np.maximum(v[name], LOWEST)
            fired = v[name] > int(neuron.threshold) << MEMBRANE_SHIFT
            v[name][fired] = 0
            spikes[name][:, t] = fired if arrives is None else arrives(fired)
    return spikes, v[network.output.name].astype(np.int32)


def sums(projection: Projection, messages: npt.NDArray[np.uint8]) -> Int64Array:
    """What messages add up to at each target neuron, in weight units.

    Products and sums in float64 are exact: weights and messages have 8 bits, so that a sum could only reach 2**53 over
    more than 2**38 synapses of one neuron.
    """
    return apply(projection.op, messages.astype(np.float64)).astype(np.int64) << projection.exponent


def decay(x: Int64Array, amount: int) -> Int64Array:
    """`x` less `amount` 4096ths of it, rounded towards zero."""
    if amount in (0, DECAY_UNITY):
        return x if amount == 0 else np.zeros_like(x)
    left: Int64Array = np.sign(x) * (np.abs(x) * (DECAY_UNITY - amount) >> 12)
    return left


class ReferenceTarget(Target):
    """The specification, run in numpy."""

    name = "reference"
    description = "numpy: the specification that every other target is compared with"
    features = frozenset({LEAK, CURRENT, GRADED_INPUT, MEMBRANE_READOUT, CLIPPING})

    def probe(self) -> Availability:
        """Always available."""
        return Availability(True, f"numpy {np.__version__}")

    def check(self, network: Network) -> list[Violation]:
        """Populations that could leave the range of the hardware's state."""
        return overflow_violations(network)

    def compile(self, network: Network) -> ReferenceProgram:
        """The network, ready to run."""
        return ReferenceProgram(network)


class ReferenceProgram(BatchProgram):
    """A network on the reference target; see `simulate` for `arrives`."""

    def __init__(self, network: Network, arrives: Arrives | None = None) -> None:
        super().__init__(network, name=ReferenceTarget.name, batch=BATCH, versions={"numpy": np.__version__})
        self.arrives = arrives

    def simulate(self, images: npt.NDArray[np.uint8], recorded: Collection[str]) -> Iterator[Activity]:
        """What each population but the input does on a batch; see `BatchProgram.simulate`."""
        network, n = self.network, len(images)
        trains, potentials = simulate(network, images, self.arrives)
        sent = counters.input_messages(network, images) > 0
        emitted = {network.input.name: sent.sum(axis=0, dtype=np.int64) * network.timesteps}
        emitted |= {name: train.sum(axis=(0, 1), dtype=np.int64) for name, train in trains.items()}
        for population in network.spiking:
            name = population.name
            read = potentials if population is network.output and network.readout == "membrane" else None
            counted = counters.tally(network, population, emitted, n)
            yield Activity(name, counted, trains[name] if name in recorded else None, read)
