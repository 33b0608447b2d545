"""Faults of the machine: bits of weights that flip, and spikes that are lost. Seeded; a probability of 0 does nothing.

The draws of a seed are the same at every probability, so that more of it only adds faults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from kdsnn.errors import InputError
from kdsnn.network import WEIGHT_BITS, Network
from kdsnn.targets.reference import Arrives

__all__ = ["BIT_FLIP", "SPIKE_DROP", "Fault", "flip_bits", "lose_spikes"]


def flip_bits(network: Network, probability: float, seed: int, weight_bits: int = WEIGHT_BITS) -> Network:
    """The integer network with each bit of each stored weight flipped with a probability, independently.

    A weight is stored once, as a two's complement of `weight_bits`: a convolution's kernel, not each synapse made of
    it; the ones of pools and relays too. A projection of zeros alone stores nothing. Biases, thresholds and exponents
    keep their values. What comes out is an ordinary network with a fingerprint of its own, which some image may
    overflow: ask the target's `check`.

    Raises:
        InputError: a weight does not fit into so many bits.
    """
    rng = np.random.default_rng(seed)
    projections = []
    for projection in network.projections:
        weight = projection.op.weight
        if not projection.silent:
            limit = 1 << (weight_bits - 1)
            if weight.min() < -limit or weight.max() >= limit:
                raise InputError(f"projection {projection.name!r} has weights that {weight_bits} bits cannot hold")
            weight = _flipped(weight, probability, weight_bits, rng)
        projections.append(replace(projection, op=replace(projection.op, weight=weight)))
    return replace(network, projections=tuple(projections))


def lose_spikes(probability: float, seed: int) -> Arrives:
    """What loses each spike with a probability, independently, for one run of the reference's `simulate`.

    A lost spike was fired, and its neuron reset; then none of its synapses gets it, and at the output nobody counts it.
    Messages of the input always arrive.
    """
    rng = np.random.default_rng(seed)

    def arrives(fired: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        kept: npt.NDArray[np.bool_] = fired & (rng.random(fired.shape) >= probability)
        return kept

    return arrives


def _flipped(
    weight: npt.NDArray[Any], probability: float, weight_bits: int, rng: np.random.Generator
) -> npt.NDArray[Any]:
    mask, sign = (1 << weight_bits) - 1, 1 << (weight_bits - 1)
    stored = weight.astype(np.int64) & mask
    for bit in range(weight_bits):
        stored ^= (rng.random(weight.shape) < probability).astype(np.int64) << bit
    return ((stored ^ sign) - sign).astype(weight.dtype)


@dataclass(frozen=True)
class Fault:
    """A kind of fault that happens to integer networks alone. Level 0 is none.

    Attributes:
        level: what the level is.
        levels: that are usual.
        targets: names of the only targets that can show it; none where any can.
    """

    level: str
    levels: tuple[float, ...]
    targets: tuple[str, ...] = ()


SPIKE_DROP = Fault("probability that a spike is lost", (0.01, 0.03, 0.1, 0.2, 0.4), targets=("reference",))
BIT_FLIP = Fault("probability that a bit of a weight is flipped", (1e-4, 1e-3, 3e-3, 1e-2, 3e-2))
