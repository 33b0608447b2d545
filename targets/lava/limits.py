"""What a network must keep to so that lava-nc computes exactly what the reference computes."""

from __future__ import annotations

from kdsnn.network import DECAY_UNITY, Network, neuron_of
from kdsnn.targets.base import Violation
from kdsnn.targets.fitting import overflow_violations
from kdsnn.targets.placement.path_lengths import unequal_paths

__all__ = ["violations"]


def violations(network: Network, *, stock: bool = False) -> list[Violation]:
    """All limits of Lava that a network exceeds; none when it fits.

    Args:
        network: that runs there.
        stock: whether Lava's own process models compute, and not ours.
    """
    if not network.integer:
        return [Violation(network.name, "is a float network; Lava's fixed-point models run integers")]
    found = overflow_violations(network) + unequal_paths(network, "Lava") + _decays(network)
    return found + _beyond_stock(network) if stock else found


def _decays(network: Network) -> list[Violation]:
    return [
        Violation(
            population.name, f"decay_v is {DECAY_UNITY}, which 12 bits cannot hold; {DECAY_UNITY - 1} is the most"
        )
        for population in network.spiking
        if neuron_of(population).decay_v >= DECAY_UNITY
    ]


def _beyond_stock(network: Network) -> list[Violation]:
    """What Lava's own LIFReset, Conv and Dense do not do."""
    resets = [
        Violation(population.name, "a spike does not reset it to zero, and Lava's stock LIFReset has no other reset")
        for population in network.spiking
        if neuron_of(population).reset_by is not None
    ]
    loops = [
        Violation(
            projection.name,
            "feeds its own population, and Lava's stock models would carry the spikes of an image's last step into the"
            " next image",
        )
        for projection in network.projections
        if projection.recurrent
    ]
    return resets + loops
