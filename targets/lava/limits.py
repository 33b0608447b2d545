"""What a network must keep to so that lava-nc computes exactly what the reference computes."""

from __future__ import annotations

from kdsnn.network import DECAY_UNITY, Network, neuron_of
from kdsnn.targets.base import Violation
from kdsnn.targets.fitting import overflow_violations
from kdsnn.targets.placement.path_lengths import unequal_paths

__all__ = ["violations"]


def violations(network: Network) -> list[Violation]:
    """All limits of Lava that a network exceeds; none when it fits."""
    if not network.integer:
        return [Violation(network.name, "is a float network; Lava's fixed-point models run integers")]
    return overflow_violations(network) + unequal_paths(network, "Lava") + _decays(network)


def _decays(network: Network) -> list[Violation]:
    return [
        Violation(
            population.name, f"decay_v is {DECAY_UNITY}, which 12 bits cannot hold; {DECAY_UNITY - 1} is the most"
        )
        for population in network.spiking
        if neuron_of(population).decay_v >= DECAY_UNITY
    ]
