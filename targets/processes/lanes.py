"""Images side by side in one simulation, as copies of the network, round after round."""

from __future__ import annotations

__all__ = ["even_lanes"]


def even_lanes(samples: int, most: int) -> int:
    """The fewest lanes that take as few rounds as the most: so the last round is as full as can be.

    Args:
        samples: number of images.
        most: lanes that there may be.
    """
    rounds = -(-samples // min(most, samples))
    return -(-samples // rounds)
