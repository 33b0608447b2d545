"""Paths through a network, for machines on which every projection takes one time step."""

from __future__ import annotations

from kdsnn.network import Network
from kdsnn.targets.base import Violation

__all__ = ["unequal_paths"]


def unequal_paths(network: Network, machine: str) -> list[Violation]:
    """Projections that skip a step: each costs one, so what two paths bring to a population must be equally old.

    What a population sends to itself comes one step later everywhere, and is no such path.

    Args:
        network: that runs there.
        machine: its name in the message.
    """
    depths = network.depths
    return [
        Violation(
            projection.name,
            f"skips from depth {depths[projection.source]} to depth {depths[projection.target]}: every projection takes"
            f" one time step on {machine}, so all paths into a population must be equally long"
            " (kdsnn.export.lowering.relays.balance)",
        )
        for projection in network.projections
        if not (projection.recurrent or projection.target in network.steady)
        and depths[projection.source] != depths[projection.target] - 1
    ]
