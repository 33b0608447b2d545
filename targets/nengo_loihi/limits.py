"""What a network must keep to so that nengo-loihi's emulator computes exactly what the reference computes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from kdsnn.network import DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT, Network, Population, neuron_of
from kdsnn.network.counters import fan_out
from kdsnn.network.overflow import current_bounds, drive_bounds, incoming
from kdsnn.targets.base import Violation
from kdsnn.targets.fitting import overflow_violations
from kdsnn.targets.placement.path_lengths import unequal_paths

__all__ = ["violations"]

ACCUMULATOR = 2**21  # Q_BITS of nengo_loihi/builder/discretize.py
MAX_SYNAPSES = 10_000_000  # each has a weight and an index of its own: see docs/nengo-loihi.md


def violations(network: Network) -> list[Violation]:
    """All reasons why the emulator cannot run a network exactly; none when it can."""
    if not network.integer:
        return [Violation(network.name, "is a float network; the emulator's fixed-point neurons run integers")]
    found = overflow_violations(network) + unequal_paths(network, "Loihi")
    inside = [p for p in network.spiking if p.name not in {violation.where for violation in found}]
    found += [Violation(p.name, what) for p in inside for what in _overflows(network, p)]
    synapses = sum(int(fan_out(p, network.population(p.source).shape).sum()) for p in network.projections)
    if synapses > MAX_SYNAPSES:
        what = f"{synapses:,} synapses: the emulator keeps each apart, and this target takes {MAX_SYNAPSES:,} at most"
        found.append(Violation(network.name, what))
    return found


def _overflows(network: Network, population: Population) -> Iterator[str]:
    """Sums that are narrower in the emulator than in a network."""
    neuron, heard = neuron_of(population), incoming(network, population)
    lasts = neuron.decay_u < DECAY_UNITY  # then grey levels come as spikes, too, and not with the bias
    accumulated = drive_bounds(population, [(p, most) for p, most in heard if lasts or not network.graded(p)])
    if (reached := _furthest(*(part << MEMBRANE_SHIFT for part in accumulated))) >= ACCUMULATOR:
        yield f"what arrives in a step could reach {reached}, and wraps at {ACCUMULATOR} on Loihi 1"
    bias = neuron.bias.astype(np.int64) << neuron.bias_exponent
    current = current_bounds(neuron, *drive_bounds(population, heard), network.timesteps)
    if (reached := _furthest(*(part + bias for part in current))) >= STATE_LIMIT:
        yield f"current and bias together could reach {reached}, and wrap at {STATE_LIMIT} on Loihi 1"


def _furthest(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> int:
    return max(-int(low.min()), int(high.max()))
