"""Keeps a rounded network where no image can overflow it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kdsnn.distill.qat.rounded_network import FoldedNet
from kdsnn.network import MEMBRANE_SHIFT, Network, Population, neuron_of
from kdsnn.network.overflow import drive_range, incoming, overflows

__all__ = ["keep_in_bounds"]

SHRINK = 0.99  # of the channels that come nearest to an overflow, until none can
NEAREST = 0.99  # share of the worst channel's reach at which a channel shrinks with it


def keep_in_bounds(net: FoldedNet) -> tuple[str, ...]:
    """Shrinks what could overflow, a hundredth at a time, until `kdsnn.network.overflow` proves that nothing can.

    Of a population that could, only the channels that reach furthest in the worst case are touched, weights and biases
    together; training goes on from there.

    Returns:
        Names of the populations that were touched.
    """
    touched: dict[str, None] = {}
    while True:
        integer, _ = net.to_integer()
        problems = overflows(integer)
        if not problems:
            return tuple(touched)
        for name in problems:
            reach = _reach(integer, integer.population(name))
            net.shrink(name, reach >= NEAREST * reach.max(), SHRINK)
            touched[name] = None


def _reach(network: Network, population: Population) -> npt.NDArray[np.float64]:
    """How far from zero the potential of each channel could come, in its units: without leak, over all steps."""
    neuron, channels = neuron_of(population), population.shape[0]
    bias = (neuron.bias.astype(np.int64) << neuron.bias_exponent).reshape(channels, -1)
    low, high = (np.zeros(channels, dtype=np.int64) for _ in range(2))
    for projection, largest in incoming(network, population):
        part_low, part_high = drive_range(projection, largest)
        low += part_low.reshape(channels, -1).min(axis=1) << MEMBRANE_SHIFT
        high += part_high.reshape(channels, -1).max(axis=1) << MEMBRANE_SHIFT
    down = (1 if neuron.clips else network.timesteps) * np.maximum(0, -(low + bias.min(axis=1)))
    reach: npt.NDArray[np.float64] = np.maximum(down, high + bias.max(axis=1)).astype(np.float64)
    return reach
