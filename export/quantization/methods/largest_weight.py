"""`max`: the largest weight fills the bits, and none is clipped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdsnn.export.quantization.candidates import Candidate, FloatArray, exponent_of
from kdsnn.network import THRESHOLD_BITS

__all__ = ["candidates", "filling"]

SHRINK = 0.99  # of K, where it has to come down


def candidates(theta: float, weights: Sequence[FloatArray], largest: int) -> tuple[list[Candidate], str]:
    """The largest weight fills the bits: nothing is clipped."""
    return filling(theta, [float(np.abs(w).max(initial=0)) for w in weights], largest)


def filling(theta: float, tops: Sequence[float], largest: int) -> tuple[list[Candidate], str]:
    """Thresholds from the one at which the smallest of these magnitudes fills the bits downwards.

    Args:
        theta: the float threshold.
        tops: of each projection, the magnitude that fills the bits.
        largest: integer.
    """
    smallest_top = min((t for t in tops if t > 0), default=theta)  # a silent layer fits any scale
    highest = 2**THRESHOLD_BITS - 1
    by_weights = int(theta * largest / smallest_top)
    made, threshold = [], min(max(by_weights, 1), highest)
    while threshold >= 1:
        scale = theta / threshold
        made.append(Candidate(threshold, scale, tuple(exponent_of(top / scale, largest) for top in tops)))
        threshold = min(threshold - 1, int(threshold * SHRINK))
    return made, "weight bits" if by_weights <= highest else "threshold bits"
