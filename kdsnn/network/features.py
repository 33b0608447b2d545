"""What a network may use beyond plain integrate-and-fire neurons. A target declares which of it it takes.

A plain network sees one image at all time steps, and has neurons that sum up without a leak, fire above a threshold and
are reset to zero, biases, spikes as messages, and an output whose spikes are counted. Whatever more a network uses is a
feature, and a target that has not declared it is never given the network: a machine that has not heard of a feature
cannot ignore it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdsnn.network.populations import DECAY_UNITY, neuron_of

if TYPE_CHECKING:
    from kdsnn.network.network import Network

__all__ = [
    "CLIPPING",
    "CURRENT",
    "FEATURES",
    "GRADED_INPUT",
    "INPUT_IN_TIME",
    "LEAK",
    "MEMBRANE_READOUT",
    "RECURRENCE",
    "SUBTRACT_RESET",
    "features_of",
]

LEAK, CURRENT = "leak", "current"
GRADED_INPUT, MEMBRANE_READOUT = "graded-input", "membrane-readout"
CLIPPING = "clipping"
INPUT_IN_TIME = "input-in-time"
SUBTRACT_RESET, RECURRENCE = "subtract-reset", "recurrence"
FEATURES: dict[str, str] = {
    LEAK: "membrane potentials that lose a share of themselves at each step",
    CURRENT: "synaptic currents that last longer than a step",
    GRADED_INPUT: "input messages of more than one bit",
    MEMBRANE_READOUT: "an output that never fires, and whose membrane potential is read",
    CLIPPING: "membrane potentials that stay at the lowest or highest value where they would be driven beyond",
    INPUT_IN_TIME: "an input that changes from time step to time step",
    SUBTRACT_RESET: "spikes that take a fixed amount from the membrane potential, or nothing, with no reset to zero",
    RECURRENCE: "populations that feed themselves",
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
        INPUT_IN_TIME: not network.static,
        SUBTRACT_RESET: any(neuron.reset_by is not None for neuron in neurons),
        RECURRENCE: any(projection.recurrent for projection in network.projections),
    }
    return frozenset(name for name, uses in used.items() if uses)
