"""What a network had answered and done by each step of each image: from its recorded spikes, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce

import numpy as np
import numpy.typing as npt

from kdsnn.errors import VerificationError
from kdsnn.network import MEMBRANE_SHIFT, Network, counters, neuron_of
from kdsnn.targets.base import RunResult
from kdsnn.targets.reference import decay, in_floats, sums

__all__ = ["COUNTED", "Steps", "answers_by_step", "counts_by_step", "joined_steps", "potentials_by_step", "steps_of"]

COUNTED = ("spikes", "synops_dense", "synops_effective", "input_macs", "input_macs_effective")
AT_ONCE = 2**22  # numbers that are held at once while counting: bounds the memory
Images = npt.NDArray[np.uint8]
Spikes = Mapping[str, npt.NDArray[np.uint8]]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """What a network had answered after each step, and what it did in each.

    Attributes:
        predictions: `(N, T)` int32; the class with the highest score so far, the lowest on a tie.
        leads: `(N, T)` int32; by how much that score is above the next: spikes, or potential (64 to a weight unit).
        counts: `(N, T, 5)` int64; what was counted in the step alone, as `COUNTED` names it.
    """

    predictions: Int32Array
    leads: Int32Array
    counts: Int64Array


def steps_of(network: Network, images: Images, result: RunResult) -> Steps:
    """The steps of a run in which all spikes were recorded.

    Raises:
        VerificationError: they do not add up to what the run counted, or end at another answer.
    """
    predictions, leads = answers_by_step(network, images, result.spikes)
    counts = counts_by_step(network, images, result.spikes)
    for field, total in zip(COUNTED, counts.sum(axis=(0, 1)).tolist(), strict=True):
        if total != result.counts.total(field):
            raise VerificationError(f"the spikes make {field} = {total}, and {result.counts.total(field)} were counted")
    if not np.array_equal(predictions[:, -1], result.predictions):
        raise VerificationError("the scores of the last step predict other classes than the run did")
    return Steps(predictions, leads, counts)


def joined_steps(parts: Sequence[Steps]) -> Steps:
    """The steps of all images of several runs, in their order."""
    return Steps(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Steps)))


def answers_by_step(network: Network, images: Images, spikes: Spikes) -> tuple[Int32Array, Int32Array]:
    """Predictions and leads of `Steps`, from the spikes of all populations, `(N, T, *shape)`.

    Where there is but one class, its lead is its score.
    """
    n, steps, classes = len(images), network.timesteps, network.output.neurons
    predictions, leads = (np.zeros((n, steps), dtype=np.int32) for _ in range(2))
    for some in _parts(n, steps * classes):
        seen = {name: train[some] for name, train in spikes.items()}
        if network.readout == "membrane":
            scores = potentials_by_step(network, images[some], seen)
        else:
            scores = seen[network.output.name].cumsum(axis=1, dtype=np.int32)
        scores = scores.reshape(*scores.shape[:2], classes)
        predictions[some] = scores.argmax(axis=2)
        best = np.sort(scores, axis=2)
        leads[some] = best[..., -1] - best[..., -2] if classes > 1 else best[..., -1]
    return predictions, leads


def potentials_by_step(network: Network, images: Images, spikes: Spikes) -> Int32Array:
    """The potential of an output that never fires after each step, `(N, T, *shape)`, from what enters it."""
    output, neuron = network.output, neuron_of(network.output)
    incoming = [(in_floats(p), p.source) for p in network.incoming(output.name) if not p.recurrent]
    sent = {network.input.name: counters.input_messages(network, images), **spikes}
    bias = neuron.bias.astype(np.int32).reshape(output.shape) << neuron.bias_exponent
    u, v = (np.zeros((len(images), *output.shape), dtype=np.int32) for _ in range(2))
    found = np.zeros((len(images), network.timesteps, *output.shape), dtype=np.int32)
    for t in range(network.timesteps):
        entering = reduce(np.add, (sums(projection, sent[source][:, t]) for projection, source in incoming))
        u = decay(u, int(neuron.decay_u)) + (entering << MEMBRANE_SHIFT)
        v = decay(v, int(neuron.decay_v)) + u + bias
        found[:, t] = v
    return found


def counts_by_step(network: Network, images: Images, spikes: Spikes) -> Int64Array:
    """What each step of each image counts, `(N, T, 5)`; messages count in the step in which they arrive."""
    n, steps, entry = len(images), network.timesteps, network.input
    counts: Int64Array = np.zeros((n, steps, len(COUNTED)), dtype=np.int64)
    for population in network.spiking:
        counts[..., 0] += spikes[population.name].reshape(n, steps, -1).sum(axis=2, dtype=np.int64)
    for projection in network.projections:
        shape = network.population(projection.source).shape
        fans = [counters.fan_out(projection, shape, zero_weights=zeros).reshape(-1) for zeros in (True, False)]
        if projection.source != entry.name:
            reached = _reached(spikes[projection.source], np.stack(fans, axis=1))
        else:
            shown = slice(0, 1) if network.static else slice(None)
            messages = counters.input_messages(network, images, shown)
            reached = np.broadcast_to(_reached(messages, np.stack(fans, axis=1)), (n, steps, 2))
        if projection.recurrent:
            reached = np.concatenate([np.zeros_like(reached[:, :1]), reached[:, :-1]], axis=1)
        first = COUNTED.index("input_macs" if network.graded(projection) else "synops_dense")
        counts[..., first : first + 2] += reached
    return counts


def _reached(messages: npt.NDArray[np.uint8], fans: Int64Array) -> Int64Array:
    """Synapses that the messages `(N, T, *shape)` of each step reach, `(N, T, kinds)`; `fans` is `(neurons, kinds)`."""
    rows = messages.reshape(-1, len(fans))
    found: Int64Array = np.zeros((len(rows), fans.shape[1]), dtype=np.int64)
    for some in _parts(len(rows), len(fans)):
        found[some] = (rows[some] > 0).astype(np.float64) @ fans  # whole numbers below 2**53: exact
    return found.reshape(*messages.shape[:2], -1)


def _parts(count: int, size: int) -> Iterator[slice]:
    """Slices of so many things of this size that few enough are held at once."""
    step = max(1, AT_ONCE // size)
    for begin in range(0, count, step):
        yield slice(begin, begin + step)
