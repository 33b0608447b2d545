"""`mse`: the least squared error of the weights, of rounding and of clipping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdsnn.export.quantization.candidates import Candidate, FloatArray, exponent_of, integers
from kdsnn.export.quantization.methods import largest_weight
from kdsnn.network import THRESHOLD_BITS

__all__ = ["candidates"]

FINER = 16.0  # how far past the largest weight the search for the least error goes
FINER_STEP = 0.98  # of K, there
CLIPPED_OCTAVES = 3  # exponents tried below the one that clips nothing
SAMPLE = 2**14  # weights of a projection that the candidates are ranked on


def candidates(theta: float, weights: Sequence[FloatArray], largest: int) -> tuple[list[Candidate], str]:
    """Least sum of squared errors, of rounding and of clipping; the candidates of `max` are among those tried.

    E(K) = sum over projections of min over e of sum (w - s * 2**e * integers(w, s * 2**e))**2, s = theta / K
    """
    safe, limited_by = largest_weight.candidates(theta, weights, largest)
    samples = [_sample(w) for w in weights]
    if not any(s.any() for s in samples):
        return safe, limited_by
    ranked = [(_error(samples, c.exponents, c.scale, largest), c) for c in safe]
    top = safe[0].threshold
    finer, threshold = set(), min(int(top * FINER), 2**THRESHOLD_BITS - 1)
    while threshold > top:
        finer.add(threshold)
        threshold = min(threshold - 1, int(threshold * FINER_STEP))
    for threshold in finer | {c.threshold for c in safe}:
        scale = theta / threshold
        exponents = tuple(_best_exponent(s, scale, largest) for s in samples)
        candidate = Candidate(threshold, scale, exponents)
        ranked.append((_error(samples, exponents, scale, largest), candidate))
    ranked.sort(key=lambda pair: (float(f"{pair[0]:.9g}"), pair[1].threshold, pair[1].exponents))
    return [candidate for _, candidate in ranked], "weight error"


def _best_exponent(weight: FloatArray, scale: float, largest: int) -> int:
    clips_nothing = exponent_of(float(np.abs(weight).max(initial=0)) / scale, largest)
    tried = range(max(0, clips_nothing - CLIPPED_OCTAVES), clips_nothing + 1)
    return min(tried, key=lambda e: _error([weight], (e,), scale, largest))


def _error(weights: Sequence[FloatArray], exponents: Sequence[int], scale: float, largest: int) -> float:
    total = 0.0
    for weight, exponent in zip(weights, exponents, strict=True):
        step = scale * 2**exponent
        total += float(np.sum((integers(weight, step, largest) * step - weight) ** 2))
    return total


def _sample(weight: FloatArray) -> FloatArray:
    """Evenly spaced order statistics of the weights, the extremes among them; all weights where they are few."""
    flat = weight.reshape(-1)
    if flat.size <= SAMPLE:
        return flat
    return np.sort(flat)[np.linspace(0, flat.size - 1, SAMPLE).astype(np.int64)]
