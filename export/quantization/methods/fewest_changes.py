"""`spikes`: the scale that changes the fewest spikes of the calibration images; without images, that of `max`.

Its candidates reach from the largest weight that fills the bits down to a small share of it, so that few weights far
larger than all others can be clipped where that costs less than rounding the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdsnn.export.quantization.candidates import Candidate, FloatArray, Measured, exponent_of
from kdsnn.network import THRESHOLD_BITS

__all__ = ["SPIKES", "candidates", "clipping_at"]

OCTAVES = 14  # below the largest weight, how far clipping is tried
AN_OCTAVE = 4  # candidates
MOST_CLIPPED = 0.25  # share of the weights
FINE = 64  # units of a threshold, at least, so that its own steps do not decide the scale


def candidates(theta: float, weights: Sequence[FloatArray], largest: int) -> tuple[list[Candidate], str]:
    """Every share of the largest weights, from all down to where a quarter of the weights is clipped."""
    sizes = np.abs(np.concatenate([w.reshape(-1) / (np.abs(w).max(initial=0) or 1.0) for w in weights]))
    made: list[Candidate] = []
    for step in range(OCTAVES * AN_OCTAVE + 1):
        share = 2.0 ** (-step / AN_OCTAVE)
        if step and (sizes > share).mean() > MOST_CLIPPED:
            break
        made.append(clipping_at(share, theta, weights, largest))
    return made, "spikes"


def clipping_at(share: float, theta: float, weights: Sequence[FloatArray], largest: int) -> Candidate:
    """The scale at which this share of the largest weights fills the bits; above one, none fills them."""
    tops = [share * float(np.abs(w).max(initial=0)) for w in weights]
    smallest = min((top for top in tops if top > 0), default=theta)
    by_weights = theta * largest / smallest
    finer = max(0, int(np.ceil(np.log2(FINE / by_weights)))) if by_weights > 0 else 0
    threshold = int(np.clip(round(by_weights * 2**finer), 1, 2**THRESHOLD_BITS - 1))
    scale = theta / threshold
    return Candidate(threshold, scale, tuple(exponent_of(top / scale, largest) for top in tops))


SPIKES = Measured(candidates)
