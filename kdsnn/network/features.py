"""What a network may use beyond plain integrate-and-fire neurons. A target declares which of it it takes.

A plain network has neurons that sum up without a leak, fire above a threshold and are reset to zero, biases, spikes as
messages, and an output whose spikes are counted. Whatever more a network uses is a feature, and a target that has not
declared it is never given the network: a machine that has not heard of a feature cannot ignore it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdsnn.network.populations import DECAY_UNITY, neuron_of

if TYPE_CHECKING:
    from kdsnn.network.network import Network

__all__ = ["CLIPPING", "CURRENT", "FEATURES", "GRADED_INPUT", "LEAK", "MEMBRANE_READOUT", "features_of"]

LEAK, CURRENT = "leak", "current"
GRADED_INPUT, MEMBRANE_READOUT = "graded-input", "membrane-readout"
CLIPPING = "clipping"
FEATURES: dict[str, str] = {
    LEAK: "potentials that lose a share of themselves at each step",
    CURRENT: "synaptic currents that last longer than a step",
    GRADED_INPUT: "input messages of more than one bit",
    MEMBRANE_READOUT: "an output that never fires, and whose potential is read",
    CLIPPING: "potentials that stay at the lowest value where inhibition would drive them below",
}


def features_of(network: Network) -> frozenset[str]:
    """Names in `FEATURES` of what a network uses."""
    neurons = [neuron_of(population) for population in network.spiking]
    unity = DECAY_UNITY if network.integer else 1
    used = {
        LEAK: any(neuron.decay_v for neuron in neurons),
        CURRENT: any(neuron.decay_u != unity for neuron in neurons),
        GRADED_INPUT: network.input_bits > 1,
        MEMBRANE_READOUT: network.readout == "membrane",
        CLIPPING: any(neuron.clips for neuron in neurons),
    }
    return frozenset(name for name, uses in used.items() if uses)
