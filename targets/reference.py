"""The reference target: whole numbers in numpy, written to be read as the specification of the integer semantics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import reduce

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_info

from kdsnn.network import DECAY_UNITY, HIGHEST, LOWEST, MEMBRANE_SHIFT, Network, Projection, counters, neuron_of
from kdsnn.network.features import (
    CLIPPING,
    CURRENT,
    GRADED_INPUT,
    INPUT_IN_TIME,
    LEAK,
    MEMBRANE_READOUT,
    RECURRENCE,
    SUBTRACT_RESET,
)
from kdsnn.network.linear_maps import apply
from kdsnn.targets.base import Availability, Target, Violation
from kdsnn.targets.batches import Activity, BatchProgram
from kdsnn.targets.fitting import overflow_violations

__all__ = ["Arrives", "ReferenceProgram", "ReferenceTarget", "decay", "in_floats", "simulate", "sums"]

BATCH, MOST_SPIKES = 32, 2**25  # images at once, and neurons times steps of these: both bound the memory
MOST_THREADS = 8  # batches at once; likewise
Int32Array = npt.NDArray[np.int32]
Spikes = dict[str, npt.NDArray[np.uint8]]
Arrives = Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]]  # of those that fired, those whose spike arrives


def simulate(
    network: Network, images: npt.NDArray[np.uint8], arrives: Arrives | None = None
) -> tuple[Spikes, Int32Array]:
    """What a network does on images `(N, *image_shape)` uint8.

    State has 24 bits, and no image takes a network that `ReferenceTarget.check` accepts beyond them: 32 are enough.

    Returns:
        The spikes of every population but the input, `(N, T, *shape)` uint8, and the potential of the output after the
        last step, `(N, *shape)` int32. With `arrives`, which is no part of the specification, they are the spikes that
        arrive (`kdsnn.noise.faults`).
    """
    n, steps, entry = len(images), network.timesteps, network.input.name
    projections = {p.name: in_floats(p) for p in network.projections}
    sent: Spikes = {entry: counters.input_messages(network, images)}
    sent |= {p.name: np.zeros((n, steps, *p.shape), dtype=np.uint8) for p in network.spiking}
    of_image: dict[str, Int32Array] = {}
    u = {p.name: np.zeros((n, *p.shape), dtype=np.int32) for p in network.spiking}
    v = {p.name: np.zeros((n, *p.shape), dtype=np.int32) for p in network.spiking}

    def arriving(p: Projection, t: int) -> Int32Array:
        return sums(p, sent[p.source][:, t - 1 if p.recurrent else t])

    for t in range(steps):
        if t == 0 or not network.static:
            of_image = {k: arriving(p, t) for k, p in projections.items() if p.source == entry}
        for population in network.spiking:
            name, neuron = population.name, neuron_of(population)
            bias = neuron.bias.astype(np.int32).reshape(population.shape) << neuron.bias_exponent
            incoming = [projections[p.name] for p in network.incoming(name) if t > 0 or not p.recurrent]
            a = reduce(np.add, (of_image[p.name] if p.name in of_image else arriving(p, t) for p in incoming))
            u[name] = decay(u[name], int(neuron.decay_u)) + (a << MEMBRANE_SHIFT)
            v[name] = decay(v[name], int(neuron.decay_v)) + u[name] + bias
            if neuron.clips:
                v[name] = np.clip(v[name], LOWEST, HIGHEST)
            fired = v[name] > int(neuron.threshold) << MEMBRANE_SHIFT
            v[name] = np.where(fired, 0 if neuron.reset_by is None else v[name] - int(neuron.reset_by), v[name])
            sent[name][:, t] = fired if arrives is None else arrives(fired)
    return {p.name: sent[p.name] for p in network.spiking}, v[network.output.name]


def in_floats(projection: Projection) -> Projection:
    """The projection with weights in float32, which BLAS multiplies.

    That is exact: in a network that `ReferenceTarget.check` accepts, a neuron's products of one sign never add up to
    more than 2**17 weight units (2**23, 64 to a unit), nor does any part of a sum, and float32 has all whole numbers up
    to 2**24.
    """
    return replace(projection, op=replace(projection.op, weight=projection.op.weight.astype(np.float32)))


def sums(projection: Projection, messages: npt.NDArray[np.uint8]) -> Int32Array:
    """What messages add up to at each target neuron, in weight units."""
    made: Int32Array = apply(projection.op, messages.astype(np.float32)).astype(np.int32) << projection.exponent
    return made


def decay(x: Int32Array, amount: int) -> Int32Array:
    """`x` less `amount` 4096ths of it, rounded towards zero."""
    if amount in (0, DECAY_UNITY):
        return x if amount == 0 else np.zeros_like(x)
    left: npt.NDArray[np.int64] = np.sign(x) * (
        np.abs(x).astype(np.int64) * (DECAY_UNITY - amount) >> 12
    )  # 24 and 12 bits make 36
    return left.astype(np.int32)


class ReferenceTarget(Target):
    """The specification, run in numpy."""

    name = "reference"
    description = "numpy: the specification that every other target is compared with"
    features = frozenset(
        {LEAK, CURRENT, GRADED_INPUT, MEMBRANE_READOUT, CLIPPING, INPUT_IN_TIME, SUBTRACT_RESET, RECURRENCE}
    )

    def probe(self) -> Availability:
        """Always available."""
        return Availability(True, f"numpy {np.__version__}")

    def check(self, network: Network) -> list[Violation]:
        """Populations that could leave the range of the hardware's state."""
        return overflow_violations(network)

    def compile(self, network: Network) -> ReferenceProgram:
        """The network, ready to run."""
        return ReferenceProgram(network)


def _threads() -> int:
    """As many as BLAS may take: most of the work is in no matrix product, and so on one core a batch."""
    allowed = (int(found["num_threads"]) for found in threadpool_info() if found["user_api"] == "blas")
    return min(MOST_THREADS, max(allowed, default=1))


class ReferenceProgram(BatchProgram):
    """A network on the reference target; see `simulate` for `arrives`."""

    def __init__(self, network: Network, arrives: Arrives | None = None) -> None:
        spikes, versions = network.timesteps * sum(p.neurons for p in network.populations), {"numpy": np.__version__}
        batch = max(1, min(BATCH, MOST_SPIKES // spikes))
        threads = _threads() if arrives is None else 1  # what is drawn at random comes in the order of the batches
        super().__init__(network, name=ReferenceTarget.name, batch=batch, versions=versions, threads=threads)
        self.arrives = arrives

    def simulate(self, images: npt.NDArray[np.uint8], recorded: Collection[str]) -> Iterator[Activity]:
        """What each population but the input does on a batch; see `BatchProgram.simulate`."""
        network, n = self.network, len(images)
        trains, potentials = simulate(network, images, self.arrives)
        sent = {network.input.name: counters.input_messages(network, images) > 0, **trains}
        emitted = {name: train.sum(axis=(0, 1), dtype=np.int64) for name, train in sent.items()}
        for population in network.spiking:
            name = population.name
            read = potentials if population is network.output and network.readout == "membrane" else None
            carried = {
                p.name: emitted[p.source] - (trains[name][:, -1].sum(axis=0, dtype=np.int64) if p.recurrent else 0)
                for p in network.incoming(name)
            }
            counted = counters.tally(network, population, int(emitted[name].sum()), carried, n)
            yield Activity(name, counted, trains[name] if name in recorded else None, read)
