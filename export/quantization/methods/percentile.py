"""`percentile`: a high percentile of the weights fills the bits, and the few beyond it are clipped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdsnn.export.quantization.candidates import Candidate, FloatArray
from kdsnn.export.quantization.methods.largest_weight import filling

__all__ = ["candidates"]

PERCENTILE = 99.9  # of the magnitudes of the weights that are not zero


def candidates(theta: float, weights: Sequence[FloatArray], largest: int) -> tuple[list[Candidate], str]:
    """A high percentile of the magnitudes fills the bits: the few weights beyond it are clipped."""
    magnitudes = [np.abs(w[w != 0]) for w in weights]
    return filling(theta, [float(np.percentile(m, PERCENTILE)) if m.size else 0.0 for m in magnitudes], largest)
