"""Proof that an integer network can neither wrap nor clip, for any image: worst cases, computed from the weights.

The hardware wraps the current u at 24 bits and clips the potential v there. A network whose worst case stays inside
never does either, so every machine computes the same without having to agree on overflow. An integrator must, besides,
stay below the highest threshold that the hardware has, so that it never fires.

Inhibition without end drives the worst case down with every step, and excitation up where a spike does not reset to
zero. A population may therefore declare that it clips (`Neuron.clips`), as the hardware does: then every machine must
do the same, and only the rest is proven.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from kdsnn.network.network import Network
from kdsnn.network.operators import Conv2d
from kdsnn.network.parts import put_together
from kdsnn.network.populations import (
    DECAY_UNITY,
    HIGHEST,
    LOWEST,
    MEMBRANE_SHIFT,
    NEVER,
    STATE_LIMIT,
    Neuron,
    Population,
    Projection,
    neuron_of,
)

__all__ = [
    "STATE_LIMIT",
    "Incoming",
    "current_bounds",
    "drive_bounds",
    "drive_range",
    "incoming",
    "overflow",
    "overflows",
]

Int64Array = npt.NDArray[np.int64]
MANY = 2**22  # neurons times steps: from there on it takes seconds
Incoming = list[tuple[Projection, int]]  # projections into a population, each with its largest message


def overflows(network: Network) -> dict[str, str]:
    """For each population that could wrap or clip, by name: what would happen, and at which value."""
    found = {}
    for population in network.spiking:
        problem = overflow(population, incoming(network, population), network.timesteps)
        if problem:
            found[population.name] = problem
    return found


def incoming(network: Network, population: Population) -> Incoming:
    """The projections into a population, each with the largest message that it can carry."""
    largest = {network.input.name: 2**network.input_bits - 1}
    return [(p, largest.get(p.source, 1)) for p in network.incoming(population.name)]


def overflow(population: Population, projections: Incoming, timesteps: int) -> str | None:
    """What could happen to a population in the worst case, or None where nothing can."""
    neuron, (low, high) = neuron_of(population), drive_bounds(population, projections)
    if population.neurons * timesteps > MANY:  # neurons of one drive and one bias are alike
        low, high, bias = np.unique(np.stack([low, high, neuron.bias]), axis=1)
        neuron = replace(neuron, bias=bias)
    u_low, u_high = current_bounds(neuron, low, high, timesteps)
    current = max(-int(u_low.min()), int(u_high.max()))
    if current >= STATE_LIMIT:
        return f"its current could reach {current}, and wraps at {STATE_LIMIT}"
    membrane, highest = _membrane(neuron, u_low, u_high, timesteps)
    if not neuron.fires and highest > NEVER << MEMBRANE_SHIFT:
        return f"its potential could reach {highest}, and fires above {NEVER << MEMBRANE_SHIFT}"
    if membrane >= STATE_LIMIT:
        return f"its potential could reach {membrane}, and clips at {STATE_LIMIT}"
    return None


def drive_range(projection: Projection, largest_message: int) -> tuple[Int64Array, ...]:
    """Lowest and highest synaptic input of one step, in weight units, for each output channel (or dense neuron)."""
    weight = projection.op.weight.reshape(projection.op.weight.shape[0], -1)
    total, magnitude = (values.sum(axis=1, dtype=np.int64) for values in (weight, np.abs(weight)))
    scale = largest_message << projection.exponent
    return (total - magnitude) // 2 * scale, (total + magnitude) // 2 * scale


def _membrane(neuron: Neuron, u_low: Int64Array, u_high: Int64Array, timesteps: int) -> tuple[int, int]:
    """The furthest from zero, and the highest, that v can come within one image, before a spike resets it."""
    if neuron.reset_by is not None:
        return _subtracting_membrane(neuron, u_low, u_high, timesteps)
    bias = neuron.bias.astype(np.int64) << neuron.bias_exponent
    v_low, v_high, lowest, highest = np.zeros_like(bias), np.zeros_like(bias), 0, 0
    for _ in range(timesteps):
        v_low = np.minimum(0, _decay(v_low, int(neuron.decay_v)) + u_low + bias)
        if neuron.clips:
            v_low = np.maximum(v_low, LOWEST)
        v_high = np.maximum(0, _decay(v_high, int(neuron.decay_v)) + u_high + bias)
        lowest, highest = min(lowest, int(v_low.min())), max(highest, int(v_high.max()))
    if neuron.fires:
        highest = (int(neuron.threshold) << MEMBRANE_SHIFT) + max(0, int((u_high + bias).max()))
    return max(-lowest, highest), highest


def _subtracting_membrane(neuron: Neuron, u_low: Int64Array, u_high: Int64Array, timesteps: int) -> tuple[int, int]:
    """The same of a neuron whose spikes take `reset_by` from its potential."""
    bias, threshold = neuron.bias.astype(np.int64) << neuron.bias_exponent, int(neuron.threshold) << MEMBRANE_SHIFT
    taken, furthest, highest = int(neuron.reset_by or 0), 0, 0
    v_low, v_high = np.zeros_like(bias), np.zeros_like(bias)
    for _ in range(timesteps):
        v_low = _decay(v_low, int(neuron.decay_v)) + u_low + bias
        v_high = _decay(v_high, int(neuron.decay_v)) + u_high + bias
        if neuron.clips:
            v_low, v_high = (np.clip(v, LOWEST, HIGHEST) for v in (v_low, v_high))
        furthest = max(furthest, -int(v_low.min()), int(v_high.max()))
        highest = max(highest, int(v_high.max()))
        fires = v_high > threshold
        v_low = np.where(fires, np.minimum(v_low, np.maximum(v_low, threshold + 1) - taken), v_low)
        v_high = np.where(fires, np.maximum(threshold, v_high - taken), v_high)
        furthest = max(furthest, -int(v_low.min()))
    return furthest, highest


def drive_bounds(population: Population, projections: Incoming) -> tuple[Int64Array, Int64Array]:
    """Lowest and highest synaptic input of one step for each neuron, in weight units."""
    low = np.zeros(population.neurons, dtype=np.int64)
    high = np.zeros(population.neurons, dtype=np.int64)
    largest = {projection.source: message for projection, message in projections}
    for projection in put_together(projection for projection, _ in projections):  # a spike brings all parts at once
        parts = drive_range(projection, largest[projection.source])
        if isinstance(projection.op, Conv2d):
            parts = tuple(np.repeat(part, population.neurons // population.shape[0]) for part in parts)
        low += parts[0]
        high += parts[1]
    return low, high


def current_bounds(neuron: Neuron, low: Int64Array, high: Int64Array, timesteps: int) -> tuple[Int64Array, Int64Array]:
    """Worst cases of the current u over the steps of an image, for each neuron."""
    u_low, u_high = np.zeros_like(low), np.zeros_like(high)
    for _ in range(timesteps):
        u_low = _decay(u_low, int(neuron.decay_u)) + (low << MEMBRANE_SHIFT)
        u_high = _decay(u_high, int(neuron.decay_u)) + (high << MEMBRANE_SHIFT)
    return u_low, u_high


def _decay(x: Int64Array, decay: int) -> Int64Array:
    left: Int64Array = np.sign(x) * (np.abs(x) * (DECAY_UNITY - decay) >> 12)
    return left
