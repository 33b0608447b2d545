"""Scales at which weights that lie on a grid stay exactly what they are: ternary weights, quarters, powers of two.

If all weights into a population are whole multiples of one value g, then at a scale of g (or g / m) nothing is rounded,
and a potential without a leak is a whole number too: comparing it with the integer part of theta / scale decides every
tie as the float network does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kdsnn.export.quantization.candidates import Candidate, FloatArray, exponent_of
from kdsnn.network import BIAS_BITS, MAX_EXPONENT, MEMBRANE_SHIFT, THRESHOLD_BITS, Neuron

__all__ = ["LARGEST_BIAS", "grid_candidates", "whole_threshold"]

FLOAT32_ROUNDING = 2e-7  # of a weight that was float32 once, and of the products it came from
LARGEST_BIAS = 2 ** (BIAS_BITS - 1) - 1  # mantissa
FINEST = 1e-9  # on the bias, whose grid is 64 times as fine


def grid_candidates(neuron: Neuron, weights: Sequence[FloatArray], largest: int) -> list[Candidate]:
    """The scales at which a population without a leak is exact, the coarsest first; none where there is no such.

    Args:
        neuron: of a float population that fires.
        weights: of the projections into it, for one unit of a message.
        largest: integer weight.
    """
    if not neuron.fires or neuron.decay_u != 1 or neuron.decay_v not in (0, 1):
        return []
    found = _grid(weights, largest)
    if found is None:
        return []
    step, exponents, top = found
    made = []
    for parts in range(1, largest // max(top, 1) + 1):
        scale = step / parts
        threshold = whole_threshold(neuron.threshold, scale)
        if threshold >= 2**THRESHOLD_BITS - 1:
            break
        if _stays_whole(neuron, scale, threshold):
            made.append(Candidate(threshold, scale, exponents))
    return made


def whole_threshold(theta: float, scale: float) -> int:
    """The highest whole number of scales that does not pass a float threshold, as float64 multiplies and compares."""
    whole = int(theta / scale)
    while (whole + 1) * scale <= theta:
        whole += 1
    while whole * scale > theta:
        whole -= 1
    return max(whole, 0)


def _grid(weights: Sequence[FloatArray], largest: int) -> tuple[float, tuple[int, ...], int] | None:
    """The largest value that all weights are whole multiples of, an exponent a projection, and the largest integer."""
    sizes = [np.unique(np.abs(w[w != 0])) for w in weights]
    together = np.unique(np.concatenate(sizes))
    if together.size == 0 or together.size > largest << MAX_EXPONENT:
        return None
    for parts in range(1, largest + 1):
        step = float(together[0]) / parts
        if (together / step > largest << MAX_EXPONENT).any():
            return None
        if _whole(together / step):
            exact = float(together[-1] / np.round(together[-1] / step))
            exponents = [_exponent(np.round(s / step).astype(np.int64), largest) for s in sizes]
            if any(e is None for e in exponents):
                return None
            known = tuple(e for e in exponents if e is not None)
            tops = [int(np.round(s[-1] / step)) >> e for s, e in zip(sizes, known, strict=True) if s.size]
            return exact, known, max(tops)
    return None


def _whole(multiples: FloatArray) -> bool:
    return bool((np.abs(multiples - np.round(multiples)) <= FLOAT32_ROUNDING * np.maximum(multiples, 1)).all())


def _exponent(whole: np.ndarray, largest: int) -> int | None:
    """The least exponent at which all integers fit, and stay whole."""
    for exponent in range(MAX_EXPONENT + 1):
        if (whole & ((1 << exponent) - 1)).any():
            return None
        if (whole >> exponent).max(initial=0) <= largest:
            return exponent
    return None


def _stays_whole(neuron: Neuron, scale: float, threshold: int) -> bool:
    """Whether biases and what a spike takes are whole 64ths of a scale, and no potential that they make is misjudged.

    It would be if it lay between the float threshold and the integer one.
    """
    added = neuron.bias / scale * 2**MEMBRANE_SHIFT
    taken = np.array([(neuron.reset_by or 0.0) / scale * 2**MEMBRANE_SHIFT])
    fine = np.concatenate([added, taken])
    if not fine.any():
        return True
    if not (np.abs(fine - np.round(fine)) <= FINEST * np.maximum(np.abs(fine), 1) + FLOAT32_ROUNDING).all():
        return False
    exponent = exponent_of(float(np.abs(added).max(initial=0)), LARGEST_BIAS)
    if (np.round(added) % 2**exponent).any():
        return False
    unit = int(np.gcd.reduce(np.append(np.round(fine).astype(np.int64), 1 << MEMBRANE_SHIFT)))
    below = whole_threshold(neuron.threshold, scale / 2**MEMBRANE_SHIFT)
    return below // unit * unit <= threshold << MEMBRANE_SHIFT
