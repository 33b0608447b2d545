"""The one shared vocabulary: populations of neurons, projections between them, and the network they make."""

from kdsnn.network.network import Network
from kdsnn.network.operators import Conv2d, Dense, Shape
from kdsnn.network.populations import (
    BIAS_BITS,
    DECAY_UNITY,
    HIGHEST,
    LOWEST,
    MAX_BIAS_EXPONENT,
    MAX_EXPONENT,
    MEMBRANE_SHIFT,
    NEVER,
    STATE_LIMIT,
    THRESHOLD_BITS,
    WEIGHT_BITS,
    Input,
    Neuron,
    Population,
    Projection,
    neuron_of,
)

__all__ = [
    "BIAS_BITS",
    "DECAY_UNITY",
    "HIGHEST",
    "LOWEST",
    "MAX_BIAS_EXPONENT",
    "MAX_EXPONENT",
    "MEMBRANE_SHIFT",
    "NEVER",
    "STATE_LIMIT",
    "THRESHOLD_BITS",
    "WEIGHT_BITS",
    "Conv2d",
    "Dense",
    "Input",
    "Network",
    "Neuron",
    "Population",
    "Projection",
    "Shape",
    "neuron_of",
]
