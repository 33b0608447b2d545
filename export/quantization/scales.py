"""The scale of a population: how float weights round to integers, and the search for the best integer threshold.

A population has one scale s = theta / K for all projections into it, where K is its integer threshold, and each
projection an exponent e of its own. A weight w becomes `integers(w, s * 2**e, largest)`: the one rounding that
post-training quantization and quantization-aware training share. A method (`kdsnn.choices.METHODS`) says which (K, e)
are tried first. An integrator has no threshold: its scale is searched for in the same way with a theta far above its
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from kdsnn.export.quantization.candidates import Candidate, Method, exponent_of, integers
from kdsnn.export.quantization.grid import LARGEST_BIAS, grid_candidates
from kdsnn.export.quantization.wide import shift_of
from kdsnn.network import (
    DECAY_UNITY,
    MAX_BIAS_EXPONENT,
    MAX_EXPONENT,
    MEMBRANE_SHIFT,
    NEVER,
    Network,
    Neuron,
    Population,
    Projection,
    neuron_of,
)
from kdsnn.network.overflow import STATE_LIMIT, overflow

if TYPE_CHECKING:
    import torch

__all__ = [
    "LARGEST_BIAS",
    "Source",
    "bias_step",
    "candidates_of",
    "exact_candidates",
    "fit",
    "is_exact",
    "is_small_integer",
    "reset_at",
    "round_at",
    "sources_of",
    "theta_of",
    "unlimited",
    "yardstick",
]

HEADROOM = 256.0  # thresholds of an integrator, of which it has none, for the search: in largest weights
FloatArray = npt.NDArray[np.float64]
Values = TypeVar("Values", FloatArray, "torch.Tensor")


@dataclass(frozen=True)
class Source:
    """A projection, its float weight for one unit of its source's message, and the largest message."""

    projection: Projection
    weight: FloatArray
    largest_message: int


def bias_step(scale: float, exponent: int) -> float:
    """The float value of one unit of a bias mantissa."""
    return float(scale * 2.0 ** (exponent - MEMBRANE_SHIFT))


def sources_of(network: Network, population: Population, input_bits: int) -> list[Source]:
    """The projections into a population of a float network, for input messages of so many bits."""
    sources = []
    for projection in network.incoming(population.name):
        largest = 2**input_bits - 1 if projection.source == network.input.name else 1
        gain = 255 / largest if projection.source == network.input.name else 1.0  # full scale stays full scale
        sources.append(Source(projection, projection.op.weight * gain, largest))
    return sources


def is_small_integer(weight: FloatArray, largest: int) -> bool:
    """Whether all weights are integers already, of at most this magnitude."""
    return bool((weight == np.round(weight)).all() and np.abs(weight).max(initial=0) <= largest)


def is_exact(neuron: Neuron, weights: Sequence[FloatArray], largest: int) -> bool:
    """Whether a float population is exact at scale one: an OR pool, a relay, any sum of integers without a leak."""
    if neuron.bias.any() or not all(is_small_integer(w, largest) for w in weights):
        return False
    if neuron.reset_by is not None and neuron.reset_by != int(neuron.reset_by):
        return False  # a spike leaves a fraction
    remembers_whole = neuron.decay_u == 1 and neuron.decay_v in (0, 1)
    fires_on_any = neuron.threshold < 1 and neuron.reset_by is None and all((w >= 0).all() for w in weights)
    return remembers_whole or fires_on_any


def exact_candidates(neuron: Neuron, weights: Sequence[FloatArray], largest: int) -> list[Candidate]:
    """Where a population computes exactly what the float network does: at scale one, or on the grid of its weights."""
    if is_exact(neuron, weights, largest):
        threshold = int(np.floor(neuron.threshold)) if neuron.fires else NEVER
        return [Candidate(threshold, 1.0, (0,) * len(weights)), *grid_candidates(neuron, weights, largest)]
    return grid_candidates(neuron, weights, largest)


def candidates_of(
    neuron: Neuron, weights: Sequence[FloatArray], largest: int, ranked: Method
) -> tuple[list[Candidate], str]:
    """What to try for a population, the best first, and what keeps the best from being better."""
    candidates, limited_by = ranked(theta_of(neuron, weights), weights, largest)
    return candidates if neuron.fires else [unlimited(candidate) for candidate in candidates], limited_by


def theta_of(neuron: Neuron, weights: Sequence[FloatArray]) -> float:
    """The float threshold; of an integrator one far above its weights, for the search."""
    return float(neuron.threshold) if neuron.fires else HEADROOM * yardstick(neuron, weights)


def unlimited(candidate: Candidate) -> Candidate:
    """A candidate of an integrator, which never fires."""
    return replace(candidate, threshold=NEVER)


def yardstick(neuron: Neuron, weights: Sequence[FloatArray]) -> float:
    """What errors of a float population are compared with: its threshold, or the largest weight of an integrator."""
    if neuron.fires:
        return float(neuron.threshold)
    return max(float(np.abs(w).max(initial=0)) for w in weights) or 1.0


def fit(
    population: Population,
    sources: Sequence[Source],
    candidate: Candidate,
    largest: int,
    timesteps: int,
    whole: Sequence[FloatArray | None] | None = None,
    *,
    clips: bool = False,
) -> tuple[Population, tuple[Projection, ...]] | str:
    """The integer population and its projections at one candidate, or what does not fit.

    `whole` are integers of the weights that are rounded already; `clips` says whether the population may clip.
    """
    if max(candidate.exponents) + shift_of(largest) > MAX_EXPONENT:
        return "weight bits"
    bias = float(np.abs(neuron_of(population).bias).max(initial=0)) / bias_step(candidate.scale, 0)
    bias_exponent = exponent_of(bias, LARGEST_BIAS)
    if bias_exponent > MAX_BIAS_EXPONENT:
        return "bias bits"
    if (reset_at(neuron_of(population), candidate.scale) or 0) >= STATE_LIMIT:
        return "overflow"
    made = round_at(population, sources, candidate, bias_exponent, largest, whole, clips=clips)
    incoming = [(p, source.largest_message) for p, source in zip(made[1], sources, strict=True)]
    return "overflow" if overflow(made[0], incoming, timesteps) else made


def reset_at(neuron: Neuron, scale: float) -> int | None:
    """What a spike takes from an integer potential, 64 to a weight unit; None resets it to zero."""
    return None if neuron.reset_by is None else round(neuron.reset_by / scale * 2**MEMBRANE_SHIFT)


def round_at(
    population: Population,
    sources: Sequence[Source],
    candidate: Candidate,
    bias_exponent: int,
    largest: int,
    whole: Sequence[FloatArray | None] | None = None,
    *,
    clips: bool = False,
) -> tuple[Population, tuple[Projection, ...]]:
    """The integer population and its projections, rounded at given scales whether they fit or not."""
    neuron = neuron_of(population)
    projections = []
    for source, exponent, given in zip(sources, candidate.exponents, whole or [None] * len(sources), strict=True):
        weight = integers(source.weight, candidate.scale * 2**exponent, largest) if given is None else given
        op = replace(source.projection.op, weight=weight.astype(np.int16))
        projections.append(replace(source.projection, op=op, exponent=exponent))
    mantissa = integers(neuron.bias, bias_step(candidate.scale, bias_exponent), LARGEST_BIAS).astype(np.int32)
    model = Neuron(
        threshold=candidate.threshold,
        bias=mantissa,
        bias_exponent=bias_exponent,
        decay_u=round(neuron.decay_u * DECAY_UNITY),
        decay_v=round(neuron.decay_v * DECAY_UNITY),
        fires=neuron.fires,
        clips=clips,
        reset_by=reset_at(neuron, candidate.scale),
    )
    return replace(population, model=model), tuple(projections)
