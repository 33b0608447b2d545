"""Weights wider than a synapse: two synapses carry one, its high bits and its low bits.

A weight w of b > 8 bits is `high * 2**(b - 8) + low`. Both fit a synapse; the power of two is the exponent of a
projection of its own between the same two populations. A spike brings both at once, so that sums are exact. It costs
twice the synapses, their memory and their operations.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kdsnn.network import WEIGHT_BITS, Projection

__all__ = ["largest_weight", "shift_of", "synapses"]


def largest_weight(bits: int) -> int:
    """The largest magnitude of a signed, symmetric weight."""
    return int(2 ** (bits - 1) - 1)


def shift_of(largest: int) -> int:
    """The power of two that the high bits stand for, of weights up to this magnitude; 0 where a synapse holds them."""
    return max(0, largest.bit_length() + 1 - WEIGHT_BITS)


def synapses(projection: Projection, bits: int) -> tuple[Projection, ...]:
    """A projection with weights of so many bits as projections that the hardware has: itself, or high and low bits."""
    weight = projection.op.weight.astype(np.int64)
    limit, shift = largest_weight(WEIGHT_BITS), shift_of(largest_weight(bits))
    if np.abs(weight).max(initial=0) <= limit:
        return (projection,)
    high = np.clip((weight + (1 << shift >> 1)) >> shift, -limit, limit)
    low = weight - (high << shift)
    first, second = (replace(projection.op, weight=part.astype(np.int16)) for part in (high, low))
    return (
        replace(projection, op=first, exponent=projection.exponent + shift),
        replace(projection, op=second, part=projection.part + 1),
    )
