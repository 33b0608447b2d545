"""What a network must keep to so that lava-nc computes exactly what the reference computes."""

from __future__ import annotations

from kdsnn.network import DECAY_UNITY, Network, neuron_of
from kdsnn.targets.base import Violation, overflow_violations

__all__ = ["violations"]


def violations(network: Network) -> list[Violation]:
    """All limits of Lava that a network exceeds; none when it fits."""
    if not network.integer:
        return [Violation(network.name, "is a float network; Lava's fixed-point models run integers")]
    return overflow_violations(network) + _unequal_paths(network) + _decays(network)


def _unequal_paths(network: Network) -> list[Violation]:
    """Projections that skip a step: each costs one, so what two paths bring to a population must be equally old."""
    depths = network.depths
    return [
        Violation(
            projection.name,
            f"skips from depth {depths[projection.source]} to depth {depths[projection.target]}: every projection takes"
            " one time step on Lava, so all paths into a population must be equally long (kdsnn.export.relays.balance)",
        )
        for projection in network.projections
        if depths[projection.source] != depths[projection.target] - 1 and projection.target not in network.steady
    ]


def _decays(network: Network) -> list[Violation]:
    return [
        Violation(
            population.name, f"decay_v is {DECAY_UNITY}, which 12 bits cannot hold; {DECAY_UNITY - 1} is the most"
        )
        for population in network.spiking
        if neuron_of(population).decay_v >= DECAY_UNITY
    ]
